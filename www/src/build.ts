// Elements from data. Text goes in as text and never as markup: there is no way here to give markup.

export interface Recipe {
  class?: string;
  text?: string;
  id?: string;
  title?: string;
  attributes?: Record<string, string>;
  data?: Record<string, string>;
}

/** Makes one element with its children. */
export function build<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  recipe: Recipe = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (recipe.class !== undefined) element.className = recipe.class;
  if (recipe.id !== undefined) element.id = recipe.id;
  if (recipe.text !== undefined) element.textContent = recipe.text;
  if (recipe.title !== undefined) element.title = recipe.title;
  for (const [name, value] of Object.entries(recipe.attributes ?? {})) element.setAttribute(name, value);
  for (const [name, value] of Object.entries(recipe.data ?? {})) element.dataset[name] = value;
  element.append(...children);
  return element;
}

/** The element of the page with this id. */
export function part<T extends HTMLElement>(id: string, type: abstract new () => T): T {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new TypeError(`The page has no ${type.name} #${id}`);
  return element;
}

/** Sets text only where it changed, so that nothing is laid out for nothing. */
export function say(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}
