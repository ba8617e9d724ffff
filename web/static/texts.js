// The page's words: those of static/texts/LANGUAGE.json, which stand in the page.

const words = JSON.parse(document.getElementById("texts").textContent);

/** A text with its {places} filled in; a key without a text stands for itself. */
export function say(key, values = {}) {
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}
