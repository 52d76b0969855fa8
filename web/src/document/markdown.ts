/**
 * A small part of Markdown as a tree of plain data: headings, paragraphs, lists, quotes, code, rules, emphasis, links.
 * Nothing in it can run: there is no HTML, no picture, and a link leads to http or https or is text.
 */
export type Inline =
  | { readonly kind: 'text' | 'code'; readonly text: string }
  | { readonly kind: 'strong' | 'emphasis' | 'struck'; readonly inner: readonly Inline[] }
  | { readonly kind: 'link'; readonly address: string; readonly inner: readonly Inline[] }
  | { readonly kind: 'break' };

export type Block =
  | { readonly kind: 'heading'; readonly level: number; readonly inner: readonly Inline[] }
  | { readonly kind: 'paragraph'; readonly inner: readonly Inline[] }
  | { readonly kind: 'list'; readonly ordered: boolean; readonly items: readonly (readonly Inline[])[] }
  | { readonly kind: 'quote'; readonly inner: readonly Inline[] }
  | { readonly kind: 'code'; readonly text: string }
  | { readonly kind: 'rule' };

/** longer notes are cut: nobody reads them on a canvas, and a hostile one must not hang the page */
export const MOST_LETTERS = 20_000;
const MOST_DEPTH = 6;
const ITEM = /^\s{0,3}(?:[-*+]|(\d{1,9})[.)])\s+(.*)$/;

export function parseMarkdown(text: string): Block[] {
  const lines = text.slice(0, MOST_LETTERS).replace(/\r\n?/g, '\n').split('\n');
  const blocks: Block[] = [];
  for (let i = 0; i < lines.length; ) {
    const [block, next] = blockAt(lines, i);
    if (block !== null) blocks.push(block);
    i = next;
  }
  return blocks;
}

function blockAt(lines: readonly string[], at: number): [Block | null, number] {
  const line = lines[at]!;
  if (line.trim() === '') return [null, at + 1];
  if (/^\s{0,3}```/.test(line)) return fenced(lines, at);
  const heading = /^\s{0,3}(#{1,6})\s+(.*?)\s*#*\s*$/.exec(line);
  if (heading !== null) return [{ kind: 'heading', level: heading[1]!.length, inner: parseInline(heading[2]!) }, at + 1];
  if (/^\s{0,3}([-*_])(?:\s*\1){2,}\s*$/.test(line)) return [{ kind: 'rule' }, at + 1];
  if (ITEM.test(line)) return list(lines, at);
  if (/^\s{0,3}>/.test(line)) {
    const end = endOf(lines, at, (one) => /^\s{0,3}>/.test(one));
    return [{ kind: 'quote', inner: parseLines(lines.slice(at, end).map((one) => one.replace(/^\s{0,3}>\s?/, ''))) }, end];
  }
  const end = endOf(lines, at + 1, (one) => one.trim() !== '' && !/^\s{0,3}(?:```|#{1,6}\s|>)/.test(one) && !ITEM.test(one));
  return [{ kind: 'paragraph', inner: parseLines(lines.slice(at, end)) }, end];
}

function endOf(lines: readonly string[], from: number, belongs: (line: string) => boolean): number {
  let end = from;
  while (end < lines.length && belongs(lines[end]!)) end++;
  return end;
}

function fenced(lines: readonly string[], at: number): [Block, number] {
  const end = endOf(lines, at + 1, (one) => !/^\s{0,3}```/.test(one));
  return [{ kind: 'code', text: lines.slice(at + 1, end).join('\n') }, end + 1];
}

function list(lines: readonly string[], at: number): [Block, number] {
  const ordered = ITEM.exec(lines[at]!)![1] !== undefined;
  const items: string[] = [];
  let i = at;
  for (; i < lines.length; i++) {
    const item = ITEM.exec(lines[i]!);
    if (item !== null && (item[1] !== undefined) === ordered) items.push(item[2]!);
    else if (item === null && /^\s{2,}\S/.test(lines[i]!)) items.push(`${items.pop()} ${lines[i]!.trim()}`);
    else break;
  }
  return [{ kind: 'list', ordered, items: items.map((item) => parseInline(item)) }, i];
}

function parseLines(lines: readonly string[]): Inline[] {
  return lines.flatMap((line, i): Inline[] => {
    const inner = parseInline(line.trim());
    const breaks = / {2,}$/.test(line) || line.endsWith('\\');
    return i === lines.length - 1 ? inner : [...inner, breaks ? { kind: 'break' } : { kind: 'text', text: '\n' }];
  });
}

/** What is put between marks is short, so that marks without a partner cost little, however many there are. */
const SPECIAL =
  /(`+)([^`]{1,999})\1|\*\*(?=\S)((?:[^*]|\*(?!\*)){1,999})\*\*|~~(?=\S)([^~]{1,999})~~|\*(?=\S)([^*]{1,999})\*|(?<!\w)_(?=\S)([^_]{1,999})_(?!\w)|\[([^[\]]{0,999})\]\(\s{0,9}([^()\s]{0,1999}(?:\([^()\s]{0,999}\)[^()\s]{0,999}){0,9})\s{0,9}\)|(https?:\/\/[^\s<>"')\]]{1,1999}[^\s<>"')\].,;:!?])|(?<!\w)arXiv:(\d{4}\.\d{4,5})/g;

export function parseInline(text: string, depth = 0): Inline[] {
  const found: Inline[] = [];
  let at = 0;
  for (const match of text.matchAll(SPECIAL)) {
    if (match.index > at) found.push({ kind: 'text', text: unescaped(text.slice(at, match.index)) });
    found.push(special(match, depth));
    at = match.index + match[0].length;
  }
  if (at < text.length) found.push({ kind: 'text', text: unescaped(text.slice(at)) });
  return found;
}

function special(match: RegExpExecArray, depth: number): Inline {
  const [all, , code, strong, struck, star, line, label, address, bare, paper] = match;
  const inner = (part: string): Inline[] => (depth < MOST_DEPTH ? parseInline(part, depth + 1) : [{ kind: 'text', text: part }]);
  if (code !== undefined) return { kind: 'code', text: code };
  if (strong !== undefined) return { kind: 'strong', inner: inner(strong) };
  if (struck !== undefined) return { kind: 'struck', inner: inner(struck) };
  if (star !== undefined || line !== undefined) return { kind: 'emphasis', inner: inner(star ?? line!) };
  if (paper !== undefined) return { kind: 'link', address: `https://arxiv.org/abs/${paper}`, inner: [{ kind: 'text', text: all }] };
  const target = safeAddress(bare ?? address ?? '');
  if (target === null) return { kind: 'text', text: all };
  return {
    kind: 'link',
    address: target,
    inner: bare === undefined && label ? [{ kind: 'text', text: label }] : [{ kind: 'text', text: target }],
  };
}

function unescaped(text: string): string {
  return text.replace(/\\([\\`*_~[\]()#>+.!-])/g, '$1');
}

/** An address that may be followed: http or https, to a host, and nothing that reads as something else. */
export function safeAddress(text: string): string | null {
  return /^https?:\/\/[^\s/?#@\\]+(?:[/?#][^\s\\]*)?$/i.test(text) && !/\p{C}/u.test(text) ? text : null;
}
