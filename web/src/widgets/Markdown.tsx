/** Markdown as elements of the page. Links open beside the editor and tell nobody where they were followed from. */
import { createElement, Fragment, type ReactElement, type ReactNode, useMemo } from 'react';
import { type Block, type Inline, parseMarkdown } from '../document/markdown';
import './markdown.css';

export function Markdown({ text }: { readonly text: string }): ReactElement {
  const blocks = useMemo(() => parseMarkdown(text), [text]);
  return <div className="markdown">{blocks.map((block, i) => keyed(i, <BlockView block={block} />))}</div>;
}

/** The parts of a text have no names but their places. */
function keyed(i: number, element: ReactNode): ReactElement {
  return <Fragment key={i}>{element}</Fragment>;
}

function inlines(inner: readonly Inline[]): ReactElement[] {
  return inner.map((one, i) => keyed(i, <InlineView inline={one} />));
}

function BlockView({ block }: { readonly block: Block }): ReactElement {
  switch (block.kind) {
    case 'heading':
      return createElement(`h${Math.min(6, block.level + 2)}`, null, ...inlines(block.inner));
    case 'paragraph':
      return <p>{inlines(block.inner)}</p>;
    case 'quote':
      return <blockquote>{inlines(block.inner)}</blockquote>;
    case 'code':
      return <pre>{block.text}</pre>;
    case 'rule':
      return <hr />;
    case 'list':
      return createElement(block.ordered ? 'ol' : 'ul', null, ...block.items.map((item, i) => keyed(i, <li>{inlines(item)}</li>)));
  }
}

function InlineView({ inline }: { readonly inline: Inline }): ReactElement {
  switch (inline.kind) {
    case 'text':
      return <>{inline.text}</>;
    case 'code':
      return <code>{inline.text}</code>;
    case 'strong':
      return <strong>{inlines(inline.inner)}</strong>;
    case 'emphasis':
      return <em>{inlines(inline.inner)}</em>;
    case 'struck':
      return <s>{inlines(inline.inner)}</s>;
    case 'break':
      return <br />;
    case 'link':
      return (
        <a className="nodrag" href={inline.address} title={inline.address} target="_blank" rel="noopener noreferrer">
          {inlines(inline.inner)}
        </a>
      );
  }
}
