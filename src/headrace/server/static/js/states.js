/** What a part of a page says while it loads, and when it could not. */

/** Say that something is on its way. */
export function loading(place, text = "Loading…") {
  const line = document.createElement("p");
  line.className = "state busy";
  line.setAttribute("role", "status");
  line.textContent = text;
  place.replaceChildren(line);
}

/** Say what could not be read, why, and offer to try again. */
export function failed(place, text, retry) {
  const box = document.createElement("div");
  box.className = "state failed";
  box.setAttribute("role", "alert");
  const line = document.createElement("p");
  line.textContent = text;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button small";
  button.textContent = "Try again";
  button.addEventListener("click", retry);
  box.append(line, button);
  place.replaceChildren(box);
}
