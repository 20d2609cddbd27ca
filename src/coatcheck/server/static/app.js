// What pages do by themselves, where scripts run: times stay true, and lists of devices refresh. Nothing needs it.
"use strict";

const EVERY_MS = 3000;
const UNITS = [[365 * 86400, "year"], [86400, "day"], [3600, "hour"], [60, "minute"]];

// The server's clock counts, not this machine's.
const skewMs = Date.now() - 1000 * Number(document.documentElement.dataset.now);

/** The same words as the server's (words.relative). */
function relative(at) {
  const seconds = Math.floor((Date.now() - skewMs) / 1000) - at;
  const far = Math.abs(seconds);
  if (far < 60) return "just now";
  const [size, unit] = UNITS.find(([least]) => far >= least);
  const number = Math.floor(far / size);
  const words = `${number} ${unit}${number === 1 ? "" : "s"}`;
  return seconds > 0 ? `${words} ago` : `in ${words}`;
}

function tellTimes() {
  for (const time of document.querySelectorAll("time[data-relative]")) {
    const words = relative(Date.parse(time.dateTime) / 1000);
    if (time.textContent !== words) time.textContent = words;
  }
}

const devicesIn = (list) => [...list.querySelectorAll("[data-sid]")].map((item) => item.dataset.sid);

function announce(list) {
  const count = devicesIn(list).length;
  const words = count === 1 ? "1 device" : `${count} devices`;
  document.getElementById("announcer").textContent = `The list has changed: ${words}.`;
}

/** Put the fresh list in the place of the old one. The focus stays on the same control, or on the list. */
function swap(old, fresh) {
  const before = devicesIn(old).sort().join();
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  old.replaceWith(fresh);
  if (focused !== null) {
    const same = focused.id && document.getElementById(focused.id);
    (same || fresh).focus({ preventScroll: true });
  }
  if (devicesIn(fresh).sort().join() !== before) announce(fresh);
}

async function refresh() {
  const list = document.getElementById("live");
  const response = await fetch(list.dataset.live, { headers: { accept: "text/html" }, cache: "no-store" });
  if ([401, 403, 404].includes(response.status)) {
    // Not ours to see any more. The page itself says why, or leads to the sign-in.
    location.assign(list.dataset.page);
    return false;
  }
  if (!response.ok) return true;
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("live");
  // Not while a button is being pressed: it would be another one when the finger goes up.
  if (fresh && fresh.dataset.digest !== list.dataset.digest && !list.querySelector(":active")) swap(list, fresh);
  return true;
}

async function watch() {
  let goesOn = true;
  if (document.visibilityState === "visible") {
    tellTimes();
    try {
      if (document.getElementById("live")) goesOn = await refresh();
    } catch {
      // The network is away for a moment: the next time will do.
    }
  }
  if (goesOn) setTimeout(watch, EVERY_MS);
}

setTimeout(watch, EVERY_MS);

// A notice is said once, not at each reload.
const here = new URL(location.href);
if (here.searchParams.has("notice")) {
  here.searchParams.delete("notice");
  history.replaceState(history.state, "", here);
}
