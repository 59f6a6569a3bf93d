// Checks a page for the mistakes that programs can find (WCAG 2.2 AA), and returns a description of each.
(() => {
  const findings = [];
  const all = (selector) => [...document.querySelectorAll(selector)];
  const show = (element) => element.outerHTML.slice(0, 120);
  const report = (rule, element) => findings.push(element ? `${rule}: ${show(element)}` : rule);

  if (!document.documentElement.lang) report("the page has no language");
  if (!document.title.trim()) report("the page has no title");
  if (all("h1").length !== 1) report(`the page has ${all("h1").length} main headings`);
  if (all("main").length !== 1) report("the page has no main part");
  const { scrollWidth, clientWidth } = document.documentElement;
  if (scrollWidth > clientWidth) report(`the page is wider than its window: ${scrollWidth} > ${clientWidth}`);
  if (/user-scalable=no|maximum-scale/.test(document.querySelector("meta[name=viewport]")?.content)) report("no zoom");

  const ids = all("[id]").map((element) => element.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) report(`the id ${id} is not unique`);
  for (const attribute of ["aria-describedby", "aria-labelledby", "for"]) {
    for (const element of all(`[${attribute}]`)) {
      for (const id of element.getAttribute(attribute).split(/\s+/)) {
        if (!document.getElementById(id)) report(`${attribute} leads nowhere`, element);
      }
    }
  }
  for (const element of all("a[href^='#']")) {
    if (!document.getElementById(element.hash.slice(1))) report("a link leads nowhere", element);
  }
  for (const element of all("img:not([alt])")) report("an image has no alternative", element);

  const text = (element) => (element?.innerText ?? "").trim();
  for (const element of all("input:not([type=hidden]), select, textarea")) {
    // What is folded away has no text yet.
    if (!element.checkVisibility()) continue;
    if (![...(element.labels ?? [])].some((label) => text(label))) report("a control has no label", element);
    if (/^(email|username|url|tel|off|new-password|organization|)$/.test(element.autocomplete) === false)
      report("an unknown autocomplete", element);
  }
  for (const element of all("button, a[href]")) if (!text(element)) report("a control has no name", element);
  for (const element of all("fieldset"))
    if (element.checkVisibility() && !text(element.querySelector("legend"))) report("a group has no legend", element);
  for (const element of all("[aria-invalid]")) {
    const ids = (element.getAttribute("aria-describedby") ?? "").split(/\s+/);
    if (!ids.some((id) => id.endsWith("-error"))) report("an error is not described", element);
    if (element.type === "radio") report("aria-invalid on a radio button", element);
  }
  let level = 0;
  for (const element of all("h1, h2, h3, h4, h5, h6")) {
    const own = Number(element.tagName[1]);
    if (own > level + 1) report("a heading skips a level", element);
    level = own;
  }
  for (const element of all("li"))
    if (!/^(UL|OL)$/.test(element.parentElement.tagName)) report("a list item has no list", element);

  // Targets (2.5.8): at least 24 pixels, except for links in sentences.
  for (const element of all("button, input:not([type=hidden]), select, textarea, .button")) {
    const target = element.closest("label") ?? element;
    const { width, height } = target.getBoundingClientRect();
    if (width < 24 || height < 24) report(`a target is only ${width} by ${height}`, element);
  }

  // Contrast of text (1.4.3) on the nearest background. Text over images and gradients does not occur.
  const color = (value) => {
    const parts = value.match(/[\d.]+/g).map(Number);
    return { rgb: parts.slice(0, 3), alpha: parts[3] ?? 1 };
  };
  const background = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const { rgb, alpha } = color(getComputedStyle(at).backgroundColor);
      if (alpha === 1) return rgb;
    }
    return [255, 255, 255];
  };
  const luminance = (rgb) => {
    const linear = rgb
      .map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const contrast = (one, other) => {
    const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || /^(SCRIPT|STYLE)$/.test(element.tagName))
      continue;
    const found = contrast(color(getComputedStyle(element).color).rgb, background(element));
    if (found < 4.5) report(`a contrast of ${found.toFixed(2)}`, element);
  }
  for (const element of all("input:not([type=hidden], [type=radio], [type=checkbox]), select, textarea")) {
    const style = getComputedStyle(element);
    const found = contrast(color(style.borderTopColor).rgb, background(element.parentElement));
    if (found < 3) report(`a border with a contrast of ${found.toFixed(2)}`, element);
  }
  return findings;
})();
