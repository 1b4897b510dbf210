/** What the pages' scripts read: of a server by a request, of a static site by a script. */

/** JSON of the page's own site, by name: `graph` or `columns`. */
export async function pageData(root, name) {
  if ("static" in document.documentElement.dataset) return scriptData(root, name);
  const url = `${root}data/${name}.json`;
  const answer = await fetch(url, { credentials: "same-origin" });
  if (!answer.ok) throw new Error(`${url} could not be read (${answer.status})`);
  return answer.json();
}

/** A browser reads no JSON beside a page that was opened from a folder, but it runs a script. */
function scriptData(root, name) {
  globalThis.headraceData ??= {};
  if (globalThis.headraceData[name]) return Promise.resolve(globalThis.headraceData[name]);
  return new Promise((done, fail) => {
    const script = document.createElement("script");
    script.src = `${root}data/${name}.js`;
    script.addEventListener("load", () => done(globalThis.headraceData[name]));
    script.addEventListener("error", () => fail(new Error(`${script.src} could not be read`)));
    document.head.append(script);
  });
}
