/** A prompt: what counts more or less than 1 is marked, Ctrl + arrow up or down changes it, and its tokens are counted as CLIP does. */
import { type KeyboardEvent, type ReactElement, useEffect, useRef, useState } from 'react';
import { stretchesOf, weigh } from '../document/weights';
import { api } from '../network/api';
import type { Tokens } from '../wire';
import './prompt.css';

interface Props {
  readonly label: string;
  readonly text: string;
  readonly placeholder: string;
  readonly tooltip: string | undefined;
  readonly invalid: boolean;
  readonly onChange: (text: string) => void;
}

const COUNT_MILLISECONDS = 350;
/** a longer text is not marked: it is no prompt */
const MOST_MARKED = 8000;

export function PromptField({ label, text, placeholder, tooltip, invalid, onChange }: Props): ReactElement {
  const field = useRef<HTMLTextAreaElement>(null);
  const behind = useRef<HTMLDivElement>(null);
  const [focused, setFocused] = useState(false);
  const tokens = useTokens(text, focused);
  const onKey = (event: KeyboardEvent<HTMLTextAreaElement>): void => {
    const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (by === undefined || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    event.stopPropagation();
    const element = event.currentTarget;
    const edited = weigh(element.value, element.selectionStart, element.selectionEnd, by);
    // into the field at once, not when it is drawn again: the next key may be quicker
    element.value = edited.text;
    element.setSelectionRange(edited.start, edited.end);
    onChange(edited.text);
  };
  return (
    <div className="prompt nodrag" title={tooltip}>
      <div className="prompt-marks" aria-hidden ref={behind}>
        {text.length <= MOST_MARKED && marked(text)}
      </div>
      <textarea
        ref={field}
        className="field text nowheel nopan"
        aria-label={label}
        aria-invalid={invalid}
        placeholder={placeholder}
        spellCheck={false}
        value={text}
        onChange={(event) => onChange(event.target.value)}
        onKeyDown={onKey}
        onFocus={() => setFocused(true)}
        onBlur={() => setFocused(false)}
        onScroll={(event) => {
          if (behind.current !== null) behind.current.scrollTop = event.currentTarget.scrollTop;
        }}
      />
      {focused && tokens !== null && (
        <span className="prompt-count" role="status" title={explained(tokens)}>
          {counted(tokens)}
        </span>
      )}
    </div>
  );
}

/** The text again, invisible, with marks under what is weighted. */
function marked(text: string): (ReactElement | string)[] {
  const parts: (ReactElement | string)[] = [];
  let at = 0;
  for (const { start, end, weight } of stretchesOf(text)) {
    parts.push(text.slice(at, start));
    const strength = Math.min(1, Math.abs(weight - 1) * 1.6);
    parts.push(
      <mark
        key={start}
        className={weight >= 1 ? 'stronger' : 'weaker'}
        style={{ '--strength': `${Math.round(15 + strength * 45)}%` } as never}
      >
        {text.slice(start, end)}
      </mark>,
    );
    at = end;
  }
  return [...parts, `${text.slice(at)}\n`];
}

function useTokens(text: string, wanted: boolean): Tokens | null {
  const [tokens, setTokens] = useState<Tokens | null>(null);
  useEffect(() => {
    if (!wanted) return;
    const stop = new AbortController();
    const timer = setTimeout(() => {
      api.tokens(text, stop.signal).then(setTokens, () => setTokens(null));
    }, COUNT_MILLISECONDS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [text, wanted]);
  return tokens;
}

function counted({ chunks, size }: Tokens): string {
  return chunks.length === 1 ? `${chunks[0]} / ${size}` : `${chunks.join(' + ')} / ${size}`;
}

function explained({ chunks, size }: Tokens): string {
  const some = chunks.length === 1 ? 'one chunk' : `${chunks.length} chunks`;
  return `Tokens, in ${some} of up to ${size}`;
}
