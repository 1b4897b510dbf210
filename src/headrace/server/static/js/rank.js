/** How well names fit the words of a search: that very name, its beginning, a word in it, a part. */

/** Numbers of the names that have all words, the best first; equal ones by `ranks`, marts first. */
export function rankedNames(names, others, ranks, words) {
  const scored = [];
  names.forEach((name, node) => {
    const score = nameScore(name.toLowerCase(), (others[node] ?? "").toLowerCase(), words);
    if (score < 9) scored.push([score, node]);
  });
  return scored.sort(([one, first], [two, second]) => one - two || ranks[first] - ranks[second])
    .map(([, node]) => node);
}

/** 0 is best; 9 is no match. As the server's search, so that "order" finds `orders` before `order_items`. */
export function nameScore(name, other, words) {
  if (!words.every((word) => name.includes(word) || other.includes(word))) return 9;
  const asked = words.join("_");
  if (name === asked || name === `${asked}s`) return 0;
  if (name.startsWith(asked)) return 1;
  if (words.every((word) => `_${name}`.includes(`_${word}`))) return 2;
  return words.every((word) => name.includes(word)) ? 3 : 4;
}
