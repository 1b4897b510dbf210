/** What a reader chose lives in the address: a link shares it, back and forward work. */

/** Values of the address by name. */
export const addressed = () => new URLSearchParams(location.search);

/** Put a query into the address, as a step of its own in the history unless it replaces the last. */
export function address(query, { replace = false } = {}) {
  for (const [name, value] of [...query]) if (!value) query.delete(name);
  const text = query.toString();
  if (text === addressed().toString()) return;
  try {
    history[replace ? "replaceState" : "pushState"](null, "", text ? `?${text}` : location.pathname);
  } catch { /* of a page that was opened from a folder the address stays */ }
}

/** A form whose values are those of the address; `apply` is called at each change of either. */
export function addressedForm(form, apply) {
  const names = [...new Set([...form.elements].map((one) => one.name).filter(Boolean))];
  const read = () => {
    const query = addressed();
    for (const name of names) form.elements[name].value = query.get(name) ?? "";
    apply();
  };
  const write = (replace) => {
    const query = addressed();
    for (const name of names) query.set(name, form.elements[name].value);
    address(query, { replace });
  };
  // typing is one step, a chosen value is one
  let isTyping = false;
  form.addEventListener("input", (event) => {
    apply();
    const types = event.target.tagName === "INPUT";
    write(types && isTyping);
    isTyping = types;
  });
  form.addEventListener("change", () => { isTyping = false; });
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("popstate", read);
  read();
}
