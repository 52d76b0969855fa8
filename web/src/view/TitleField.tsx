/** A title being typed, in the place of the title: Enter takes it, Escape does not. */
import { type ReactElement, useState } from 'react';
import { rename } from '../state/renaming';

interface Props {
  readonly label: string;
  readonly value: string;
  readonly onDone: (text: string) => void;
}

export function TitleField({ label, value, onDone }: Props): ReactElement {
  const [text, setText] = useState(value);
  const finish = (): void => {
    if (text !== value) onDone(text);
    rename(null);
  };
  return (
    <input
      className="node-title nodrag"
      aria-label={label}
      // biome-ignore lint/a11y/noAutofocus: it takes the place of what was clicked
      autoFocus
      value={text}
      onFocus={(event) => event.target.select()}
      onChange={(event) => setText(event.target.value)}
      onBlur={finish}
      onKeyDown={(event) => {
        event.stopPropagation();
        if (event.key === 'Enter') finish();
        if (event.key === 'Escape') rename(null);
      }}
    />
  );
}
