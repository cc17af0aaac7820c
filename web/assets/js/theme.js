// Before anything is painted: the theme that was chosen here, if one was.
try {
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch { /* A browser that keeps nothing follows the system. */ }
// What only scripts can do is shown where they run, and not where one of them did not come.
document.documentElement.dataset.scripts = "";
addEventListener("error", ({ target }) => { if (target instanceof HTMLScriptElement) delete document.documentElement.dataset.scripts; }, true);
