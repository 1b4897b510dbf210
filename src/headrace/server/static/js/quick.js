/** The search in the head of each page: `/` goes there, arrows choose, Enter opens. */

import { pageData } from "./page_data.js";
import { rankedNames } from "./rank.js";

const SHOWN = 10;

export function quickSearch(root) {
  const place = document.querySelector("[data-quick]");
  if (!place) return;
  const input = place.querySelector("input");
  const list = place.querySelector("ul");
  let index = null;
  let active = -1;

  const load = async () => {
    index ??= pageData(root, "graph");
    return index;
  };
  input.addEventListener("focus", () => load().catch(() => { index = null; }));
  input.addEventListener("input", async () => {
    const text = input.value;
    if (!index) only(text, "Loading names… Search all assets for ");
    try {
      const data = await load();
      if (input.value === text) show(text, data);
    } catch {
      index = null;
      only(text, "The names could not be loaded. Search all assets for ");
    }
  });
  input.addEventListener("keydown", (event) => {
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (move && list.children.length) activate((active + move + list.children.length) % list.children.length);
    else if (event.key === "Enter" && list.children.length) list.children[Math.max(0, active)].querySelector("a").click();
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
  });
  place.addEventListener("focusout", (event) => {
    if (!place.contains(event.relatedTarget)) close();
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    input.focus();
  });

  place.dataset.ready = "";

  function show(text, data) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const found = words.length === 0 ? [] : rankedNames(data.names, data.relations, data.ranks, words).slice(0, SHOWN);
    list.replaceChildren(...found.map((node, number) => option(data, node, number)));
    if (words.length) list.append(everywhere(text, found.length ? "Columns and descriptions with " : "No name has this; columns and descriptions with "));
    open(words.length > 0);
  }

  /** The names are not there (yet): the list of assets can be searched all the same. */
  function only(text, before) {
    list.replaceChildren();
    list.append(everywhere(text, before));
    open(text.trim() !== "");
  }

  function open(isOpen) {
    list.hidden = !isOpen;
    input.setAttribute("aria-expanded", String(isOpen));
    active = -1;
    input.removeAttribute("aria-activedescendant");
  }

  /** The choice is the link itself: no control is inside another. */
  function line(number, href, ...content) {
    const made = document.createElement("li");
    made.setAttribute("role", "presentation");
    const link = document.createElement("a");
    link.id = `quick-${number}`;
    link.setAttribute("role", "option");
    link.setAttribute("aria-selected", "false");
    link.href = href;
    link.tabIndex = -1;
    link.append(...content);
    made.append(link);
    return made;
  }

  /** The last choice: columns, descriptions, tags and owners are searched by the list of assets. */
  function everywhere(text, before) {
    const assets = "static" in document.documentElement.dataset ? "assets.html" : "assets";
    const words = document.createElement("bdi");
    words.textContent = text;
    return line(list.children.length, `${root}${assets}?${new URLSearchParams({ search: text })}`, before, words);
  }

  function option(data, node, number) {
    const name = document.createElement("bdi");
    name.textContent = data.names[node];
    const about = document.createElement("small");
    about.textContent = `${data.kind_names[data.kinds[node]]} ${data.relations[node] ?? ""}`;
    return line(number, root + data.pages[node], name, " ", about);
  }

  function activate(number) {
    const choice = (at) => list.children[at]?.firstElementChild;
    choice(active)?.setAttribute("aria-selected", "false");
    active = number;
    choice(active).setAttribute("aria-selected", "true");
    choice(active).scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", `quick-${active}`);
  }

  function close() {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
  }
}
