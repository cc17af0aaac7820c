// What makes the pages live. Without it they can be read, and tasks given and stopped, all the same.
import { start as startPage } from "./page.js";
import { start as startLive } from "./live.js";
import { start as startTimes } from "./times.js";
import { start as startAudit } from "./audit.js";
import { start as startCopies } from "./copies.js";
import { start as startKeys } from "./keys.js";
import { start as startActivity } from "./activity.js";
import { start as startTimeline } from "./timeline.js";
import { start as startSchedules } from "./schedules.js";
import { start as startTranscript } from "./transcript.js";
import { start as startAgents } from "./agents.js";
import { start as startChat } from "./chat.js";
import { start as startBulk } from "./bulk.js";

startTimes();
startPage();
startSchedules();
startTranscript();
startAgents();
startChat();
startBulk();
startActivity();
startTimeline();
startLive();
startCopies();
startAudit();
startKeys();
