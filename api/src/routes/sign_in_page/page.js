"use strict";

const said = document.getElementById("said");
const form = document.getElementById("form");
const field = document.getElementById("key");

function say(text) {
  said.textContent = text;
}

// Where one lands once signed in: where one wanted to go, if that is a place of this server.
function next() {
  const then = new URLSearchParams(wanted).get("then") ?? "/";
  const place = new URL(then, location.origin);
  return then.startsWith("/") && place.origin === location.origin ? place.href : "/";
}

const wanted = location.search;

async function signIn(body) {
  say("Signing in …");
  let answer;
  try {
    answer = await fetch("/api/sign-in", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
  } catch {
    say("The ledger does not answer. Is it running?");
    return;
  }
  if (answer.ok) {
    say("Signed in.");
    location.replace(next());
    return;
  }
  if (answer.status === 429) {
    say("Too many failed attempts. Try again in a minute.");
  } else if (answer.status === 401 && body.token) {
    say("This link was used before, or is older than ten minutes. Sign in with a key, or start the server again for a new link.");
  } else if (answer.status === 401) {
    say("This key does not hold. Was it copied whole, or revoked?");
  } else {
    const problem = await answer.json().catch(() => ({}));
    say(problem.detail || `The ledger refused: ${answer.status}.`);
  }
  field.focus();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const key = field.value.trim();
  field.value = "";
  if (key) {
    signIn({ key });
  }
});

const token = location.hash.slice(1);
if (token) {
  // The token must not stay in the address, where it would be kept with the history.
  history.replaceState(null, "", location.pathname);
  signIn({ token });
} else {
  field.focus();
}
