/** The search in the graph: what is found is marked, listed, and gone to by Enter. */

import { rankedNames } from "../rank.js";

const FOUND = 12; // that are listed
const MARKED = 500;

export function attachFinder(lineage) {
  const { graph, panel } = lineage;
  const { found, search, stage } = lineage.parts;

  function find(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const hits = words.length ? rankedNames(graph.names, graph.relations, graph.ranks, words) : [];
    lineage.hits = new Set(hits.slice(0, MARKED));
    lineage.remark();
    found.replaceChildren(...hits.slice(0, FOUND).map((node) => panel.choice(node)));
    found.hidden = hits.length === 0;
    if (words.length) lineage.say(hits.length ? `${hits.length} found.` : "Nothing found.");
  }

  search.addEventListener("input", () => find(search.value));
  search.addEventListener("focus", () => find(search.value));
  search.parentNode.addEventListener("focusout", (event) => {
    if (!search.parentNode.contains(event.relatedTarget)) found.hidden = true;
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && found.firstChild) found.querySelector("button").click();
    else if (event.key === "ArrowDown" && found.firstChild) found.querySelector("button").focus();
    else if (event.key === "Escape") {
      search.value = "";
      find("");
      stage.focus();
    } else return;
    event.preventDefault();
  });
  found.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const buttons = [...found.querySelectorAll("button")];
    (buttons[buttons.indexOf(document.activeElement) + step] ?? search).focus();
    event.preventDefault();
  });
}
