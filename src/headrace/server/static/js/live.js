/** An open page follows the project: it is told of what is new, and shows it when that disturbs nobody. */

const POLL_MS = 5000;
const RUNNING_MS = 3000;

/**
 * Follow the server. A hidden page holds no connection, since a browser opens few to one server.
 * @param shown is called when the page has other contents.
 */
export function follow(shown) {
  const page = document.documentElement;
  if ("static" in page.dataset || !page.dataset.state) return;
  const main = document.querySelector("main");
  const api = `${page.dataset.root}api/v1/`;
  let state = page.dataset.state;
  let stream = null;
  let timer = 0;
  let note = null;
  let isTouched = false;
  let isWaiting = false;
  let isLoading = false;

  for (const kind of ["input", "click"]) {
    main.addEventListener(kind, (event) => {
      if (event.target.closest("button, input, select")) isTouched = true;
    });
  }

  const isBusy = () => document.hidden || isTouched || main.querySelector("[data-graph]") !== null
    || (main.contains(document.activeElement) && main !== document.activeElement)
    || !getSelection().isCollapsed;

  async function show() {
    if (isLoading) return;
    isLoading = true;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin", headers: { accept: "text/html" } });
      if (answer.ok && !answer.redirected) {
        const made = new DOMParser().parseFromString(await answer.text(), "text/html");
        if (!isBusy()) {
          replace(made.querySelector("main"));
          state = made.documentElement.dataset.state ?? state;
        } else {
          offer();
        }
      }
    } catch { /* the server is away: what is there stays */ }
    isLoading = false;
  }

  function replace(made) {
    const open = new Set([...main.querySelectorAll("details[open] > summary")].map((one) => one.textContent));
    const places = new Map([...main.querySelectorAll(".scroll[aria-label]")]
      .map((box) => [box.getAttribute("aria-label"), [box.scrollLeft, box.scrollTop]]));
    main.replaceChildren(...made.childNodes);
    for (const one of main.querySelectorAll("details > summary")) {
      if (open.has(one.textContent)) one.parentElement.open = true;
    }
    isWaiting = false;
    note?.remove();
    note = null;
    shown();
    for (const box of main.querySelectorAll(".scroll[aria-label]")) {
      const place = places.get(box.getAttribute("aria-label"));
      if (place) [box.scrollLeft, box.scrollTop] = place;
    }
  }

  /** Somebody reads or types: say so, and leave the page as it is. */
  function offer() {
    isWaiting = true;
    if (note || document.hidden) return;
    note = document.createElement("div");
    note.className = "news";
    note.setAttribute("role", "status");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button small";
    button.textContent = "Show it";
    button.addEventListener("click", () => location.reload());
    note.append("There is newer data. ", button);
    document.body.append(note);
  }

  function news() {
    if (isBusy()) offer();
    else show();
  }

  function again() {
    if (isWaiting && !isBusy()) show();
  }
  main.addEventListener("focusout", () => setTimeout(again));
  document.addEventListener("selectionchange", again);

  function listen() {
    if (document.hidden || stream) return;
    stream = new EventSource(`${api}events?since=${encodeURIComponent(state)}`);
    stream.addEventListener("changed", (event) => {
      state = event.data;
      news();
    });
    stream.addEventListener("progress", () => {
      if (main.querySelector("[data-live]") && !isBusy()) show();
    });
    stream.addEventListener("error", () => {
      // a browser tries again by itself, unless it was refused or got something else
      if (stream?.readyState === EventSource.CLOSED) {
        stream = null;
      }
    });
  }

  /** A run in progress has a clock; of all else a page is told, unless there is no stream. */
  function tick() {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      try {
        if (main.querySelector("[data-live]")) {
          if (!isBusy()) await show();
        } else if (!stream) {
          const answer = await fetch(`${api}runs?limit=1`, { method: "HEAD", credentials: "same-origin" });
          const found = answer.headers.get("etag")?.match(/"(.*)-\d+"/)?.[1];
          if (answer.ok && found && found !== state) {
            state = found;
            news();
          }
        }
      } catch { /* the server is away: it may come back */ }
      tick();
    }, stream ? RUNNING_MS : POLL_MS);
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      stream?.close();
      stream = null;
      clearTimeout(timer);
    } else {
      again();
      start();
    }
  });
  addEventListener("pagehide", () => {
    stream?.close();
    stream = null;
    clearTimeout(timer);
  });
  addEventListener("pageshow", (event) => { if (event.persisted) start(); });

  function start() {
    if ("EventSource" in globalThis) listen();
    tick();
  }
  start();
}
