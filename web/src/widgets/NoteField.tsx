/** A note: Markdown as it reads; a double-click, or Enter on it, makes it text to be written. */
import { type ReactElement, useEffect, useRef, useState } from 'react';
import { Markdown } from './Markdown';
import './note.css';

interface Props {
  readonly label: string;
  readonly text: string;
  readonly onChange: (text: string) => void;
}

export function NoteField({ label, text, onChange }: Props): ReactElement {
  const [writing, setWriting] = useState(false);
  const shown = useRef<HTMLDivElement>(null);
  const wrote = useRef(false);
  useEffect(() => {
    if (!writing && wrote.current) shown.current?.focus({ preventScroll: true });
    wrote.current = writing;
  }, [writing]);
  if (writing) {
    return (
      <textarea
        className="field text nodrag nowheel nopan"
        aria-label={label}
        // biome-ignore lint/a11y/noAutofocus: it takes the place of what was clicked
        autoFocus
        placeholder="Markdown: # title, *emphasis*, - list, [text](https://…)"
        value={text}
        onChange={(event) => onChange(event.target.value)}
        onBlur={() => setWriting(false)}
        onKeyDown={(event) => {
          if (event.key !== 'Escape') return;
          event.stopPropagation();
          event.preventDefault();
          setWriting(false);
        }}
      />
    );
  }
  return (
    // biome-ignore lint/a11y/useSemanticElements: it holds links, which a button must not
    <div
      ref={shown}
      role="button"
      tabIndex={0}
      className="note own-keys nowheel"
      aria-label={`${label}: ${text.slice(0, 200) || 'empty'}`}
      title="Double-click to write"
      onDoubleClick={() => setWriting(true)}
      onKeyDown={(event) => {
        if (event.key !== 'Enter' || event.target !== event.currentTarget) return;
        event.preventDefault();
        event.stopPropagation();
        setWriting(true);
      }}
    >
      {text.trim() === '' ? <span className="note-empty">Double-click to write</span> : <Markdown text={text} />}
    </div>
  );
}
