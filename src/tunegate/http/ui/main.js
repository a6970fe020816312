// The page: sign in, then show what the address after # names.

import { hasToken, setToken, watch } from "./api.js";
import { replace } from "./dom.js";
import { askForToken, isOpen } from "./session.js";
import { announce, showConnection, startTheme } from "./shell.js";
import { showCompare } from "./compare_page.js";
import { showEditor } from "./editor_page.js";
import { showJob } from "./job_page.js";
import { showJobs } from "./jobs_page.js";

const root = document.getElementById("main");
let leave = () => {};
let signedIn = false;

const routes = [
  [/^\/?(?:\?(.*))?$/, "jobs", "Jobs", ([query]) => showJobs(root, new URLSearchParams(query || ""))],
  [/^\/jobs\/([^/?]+)$/, "jobs", "Job", ([id]) => showJob(root, id)],
  [/^\/compare(?:\/([^/?]*))?$/, "compare", "Compare", ([ids]) => showCompare(root, (ids || "").split(",").filter(Boolean))],
  [/^\/new(?:\/([^/?]+))?$/, "new", "New job", ([id]) => showEditor(root, id || null)],
];

const parts = (found) => found.slice(1).map((part) => {
  try { return part === undefined ? part : decodeURIComponent(part); } catch { return part; }
});

const show = () => {
  if (!signedIn) return;
  leave();
  const address = location.hash.slice(1);
  const [found, page, title, open] = routes.map(([pattern, ...rest]) => [pattern.exec(address), ...rest]).find(([match]) => match) || [["", ""], ...routes[0].slice(1)];
  for (const anchor of document.querySelectorAll("#nav a")) {
    if (anchor.dataset.page === page) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
  document.title = `${title} · tunegate`;
  leave = open(parts(found)) || (() => {});
  window.scrollTo(0, 0);
  const heading = root.querySelector("h1");
  if (heading) { heading.tabIndex = -1; heading.focus({ preventScroll: true }); }
};

const signIn = async (reason = "") => {
  leave();
  leave = () => {};
  signedIn = false;
  document.getElementById("nav").hidden = true;
  document.getElementById("leave").hidden = true;
  document.title = "Sign in · tunegate";
  if (!isOpen() || reason) await askForToken(root, reason);
  signedIn = true;
  document.getElementById("nav").hidden = false;
  document.getElementById("leave").hidden = !hasToken();
  replace(root);
  show();
};

watch((news) => {
  if (news === "unauthorized" && signedIn) {
    setToken("");
    signIn("The token is no longer taken. Sign in again.");
  } else if (news !== "unauthorized") {
    showConnection(news === "up");
    announce(news === "up" ? "The gateway is back." : "The gateway can't be reached.");
  }
});

document.getElementById("skip").addEventListener("click", () => root.focus());
document.getElementById("leave").addEventListener("click", () => { setToken(""); signIn(); });
window.addEventListener("hashchange", show);
startTheme();
signIn();
