/** Text that goes into HTML or SVG, between tags or in quotes: names of images and lanes are anybody's. */
export function escapeText(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

type Attributes = Readonly<Record<string, string | number | undefined>>;

/**
 * One SVG element.
 * @param attributes - escaped here; numbers are rounded to a hundredth of a pixel, undefined ones left out
 * @param content - markup already
 */
export function element(name: string, attributes: Attributes, content = ''): string {
  const list = Object.entries(attributes).flatMap(([key, value]) => {
    if (value === undefined) return [];
    return ` ${key}="${typeof value === 'number' ? Number(value.toFixed(2)) : escapeText(value)}"`;
  });
  return `<${name}${list.join('')}>${content}</${name}>`;
}

/** Words at a place. */
export function label(x: number, y: number, text: string, attributes: Attributes = {}): string {
  return element('text', { x, y, ...attributes }, escapeText(text));
}

/** What the pointer shows over an element. */
export function hint(text: string): string {
  return element('title', {}, escapeText(text));
}

/** A drawing that scales with the page. @param title - what it shows, for those who can't see it */
export function drawing(width: number, height: number, title: string, content: string): string {
  return element('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': title }, content);
}
