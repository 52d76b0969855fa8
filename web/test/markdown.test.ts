import { describe, expect, it } from 'vitest';
import { type Block, type Inline, MOST_LETTERS, parseMarkdown, safeAddress } from '../src/document/markdown';

/** Every address a text would lead to. */
function addresses(blocks: readonly Block[]): string[] {
  const inner = (parts: readonly Inline[]): string[] =>
    parts.flatMap((part) => ('inner' in part ? [...(part.kind === 'link' ? [part.address] : []), ...inner(part.inner)] : []));
  return blocks.flatMap((block) => (block.kind === 'list' ? block.items.flatMap(inner) : 'inner' in block ? inner(block.inner) : []));
}

const text = (value: string): Inline => ({ kind: 'text', text: value });

describe('markdown', () => {
  it('knows headings, paragraphs, lists, quotes, code and rules', () => {
    expect(parseMarkdown('# One\ntwo *three*\n\n- a\n- **b**\n  goes on\n\n1. x\n\n> said\n\n```\n<b>\n```\n---')).toEqual([
      { kind: 'heading', level: 1, inner: [text('One')] },
      { kind: 'paragraph', inner: [text('two '), { kind: 'emphasis', inner: [text('three')] }] },
      { kind: 'list', ordered: false, items: [[text('a')], [{ kind: 'strong', inner: [text('b')] }, text(' goes on')]] },
      { kind: 'list', ordered: true, items: [[text('x')]] },
      { kind: 'quote', inner: [text('said')] },
      { kind: 'code', text: '<b>' },
      { kind: 'rule' },
    ]);
  });

  it('leaves formulas and names as they are', () => {
    const line = 'base * (1 - amount) + overlay * amount, some_long_name';
    expect(parseMarkdown(line)).toEqual([{ kind: 'paragraph', inner: [text(line)] }]);
  });

  it('leads to papers and pages', () => {
    expect(addresses(parseMarkdown('[a](https://a.org/b_(c)?d=1#e), http://b.org/x. See arXiv:2010.02502.'))).toEqual([
      'https://a.org/b_(c)?d=1#e',
      'http://b.org/x',
      'https://arxiv.org/abs/2010.02502',
    ]);
  });

  it.each([
    '[x](javascript:alert(1))',
    '[x](JaVaScRiPt:alert(1))',
    '[x](  javascript:alert(1))',
    '[x](java\u0000script:alert(1))',
    '[x](data:text/html;base64,PHNjcmlwdD4=)',
    '[x](vbscript:x)',
    '[x](//evil.org)',
    '[x](/api/v1/queue/clear)',
    '[x](file:///etc/passwd)',
    '[x](https://good.org@evil.org)',
    '[x](https:\\\\evil.org)',
    '[x](https://evil.org/\u202egnp.exe)',
    '<script>alert(1)</script>',
    '<img src=x onerror=alert(1)>',
    '![x](javascript:alert(1))',
    '<a href="javascript:alert(1)">x</a>',
    '[x]: javascript:alert(1)\n[x]',
  ])('leads nowhere with %j', (hostile) => {
    expect(addresses(parseMarkdown(hostile))).toEqual([]);
  });

  it.each(['*', '_', '**', '[', '[a](', '`', '~~a', '> ', '- ', '(https://', '**a*b'])('is quick with many of %j', (piece) => {
    const start = performance.now();
    parseMarkdown(piece.repeat(MOST_LETTERS));
    expect(performance.now() - start).toBeLessThan(5000);
  });

  it('knows an address from something else', () => {
    expect(safeAddress('https://a.org')).toBe('https://a.org');
    expect(safeAddress('https://')).toBeNull();
    expect(safeAddress(' https://a.org')).toBeNull();
  });
});
