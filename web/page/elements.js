// Elements of the page, and formatting of numbers.

export const $ = (id) => document.getElementById(id);
export const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
export const seconds = (s) => `${s < 10 ? s.toFixed(2) : s.toFixed(1)} s`;
export const percent = (p) => (p >= 0.0005 ? `${(100 * p).toFixed(1)} %` : "< 0.1 %");

/** A number with its sign. */
export const odds = (v) => `${v < 0 ? "−" : "+"}${Math.abs(v).toFixed(2)}`;

export function download(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
