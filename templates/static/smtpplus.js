// smtpplus: what the pages do beyond what the server sent. Everything works without it.
"use strict";

(() => {
  const minute = 60, hour = 3600, day = 86400;

  // ---------------------------------------------------------------- times

  const span = (seconds) => {
    if (seconds < minute) return `${Math.floor(seconds)} s`;
    if (seconds < hour) return `${Math.floor(seconds / minute)} min`;
    if (seconds < 2 * day) return `${Math.floor(seconds / hour)} h`;
    return `${Math.floor(seconds / day)} days`;
  };

  // The server's clock counts: a wrong clock here must not make times wrong.
  let serverAhead = Number(document.body.dataset.now) - Date.now() / 1000;
  const now = () => Date.now() / 1000 + serverAhead;

  const refreshTimes = () => {
    for (const time of document.querySelectorAll("time[data-ago], time[data-due]")) {
      const past = now() - Date.parse(time.dateTime) / 1000;
      if ("due" in time.dataset) time.textContent = past > -1 ? "now" : `in ${span(-past)}`;
      else if (past < -1) time.textContent = `in ${span(-past)}`;
      else if (past < 5) time.textContent = "just now";
      else if (past < 31 * day) time.textContent = `${span(past)} ago`;
    }
  };

  const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

  const addLocalTimes = () => {
    for (const time of document.querySelectorAll("time:not([data-local])")) {
      time.dataset.local = "";
      time.title += `\n${local.format(new Date(time.dateTime))}, your time`;
    }
  };

  // ---------------------------------------------------------------- copy

  const showCopyButtons = () => {
    if (!navigator.clipboard) return;
    for (const button of document.querySelectorAll("button[data-copy]")) button.hidden = false;
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });

  // ---------------------------------------------------------------- account menu

  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  // ---------------------------------------------------------------- live part

  const live = document.getElementById("live");
  const every = live ? Number(live.dataset.live || 0) : 0;
  let wait = every;
  let timer = 0;
  let shown = "";

  const isBusy = () => {
    const selection = document.getSelection();
    if (selection && !selection.isCollapsed && live.contains(selection.anchorNode)) return true;
    const focused = document.activeElement;
    return live.contains(focused) && focused.matches("pre, input, select");
  };

  const put = (text) => {
    const open = new Map();
    for (const details of live.querySelectorAll("details[id]")) open.set(details.id, details.open);
    const scrolled = new Map();
    for (const box of live.querySelectorAll("details[id] .scroll, details[id] > pre")) {
      scrolled.set(box.closest("details").id, box.scrollTop);
    }
    const focused = live.contains(document.activeElement)
      ? document.activeElement.getAttribute("href") : null;
    live.innerHTML = text;
    for (const details of live.querySelectorAll("details[id]")) {
      if (open.has(details.id)) details.open = open.get(details.id);
      const box = details.querySelector(":scope > .scroll, :scope > pre");
      if (box && scrolled.has(details.id)) box.scrollTop = scrolled.get(details.id);
    }
    if (focused) live.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    addLocalTimes();
    showCopyButtons();
  };

  const ask = async () => {
    timer = 0;
    if (document.hidden) return;
    try {
      const answer = await fetch(location.href, {
        headers: { "X-Smtpplus-Live": "1" }, credentials: "same-origin", cache: "no-store",
      });
      if (answer.status === 403 || answer.status === 404) return;
      if (!answer.ok) throw new Error(String(answer.status));
      const text = await answer.text();
      // Relative times change with every answer; nothing is redrawn for them alone.
      const comparable = text.replace(/(<time [^>]*>)[^<]*/g, "$1");
      if (comparable !== shown && !isBusy()) {
        put(text);
        shown = comparable;
      }
      wait = every;
    } catch {
      wait = Math.min(wait * 2, 60);
    }
    plan();
  };

  const plan = () => {
    if (every && !timer && !document.hidden) timer = setTimeout(ask, wait * 1000);
  };

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      clearTimeout(timer);
      timer = 0;
    } else if (every && !timer) {
      ask();
    }
  });

  addLocalTimes();
  showCopyButtons();
  setInterval(() => { if (!document.hidden) refreshTimes(); }, 5000);
  plan();
})();
