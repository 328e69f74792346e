// Elements are made here alone, and text gets into them as text: nothing that was captured is ever
// read as HTML. Attributes are those that a module names itself, never captured ones.

/**
 * Make an element. An attribute that is true stands empty, one that is false or null is left out,
 * and one that is a function is a listener of that event.
 */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** A button that does this when it is pressed. */
export function button(text, press, attributes = {}) {
  return element("button", { type: "button", click: press, ...attributes }, text);
}

/** The element of index.html with this id. */
export function place(id) {
  return document.getElementById(id);
}

/** Set a text, where it is another than the one that stands there: a live region tells each. */
export function say(where, text) {
  if (where.textContent !== text) where.textContent = text;
}
