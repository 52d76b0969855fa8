/** What the lists of the side panel share: an entry of a menu, and a field for a new name. */
import * as Menu from '@radix-ui/react-dropdown-menu';
import { type ReactElement, useState } from 'react';

export function Item({ label, onSelect }: { readonly label: string; readonly onSelect: () => void }): ReactElement {
  return (
    <Menu.Item className="menu-item" onSelect={() => setTimeout(onSelect)}>
      {label}
    </Menu.Item>
  );
}

export function Rename({ name, onEnd }: { readonly name: string; readonly onEnd: (name: string | null) => void }): ReactElement {
  const [text, setText] = useState(name);
  const end = (): void => onEnd(text.trim() === '' || text.trim() === name ? null : text.trim());
  return (
    <input
      className="field-input boxed rename"
      aria-label={`New name of ${name}`}
      // biome-ignore lint/a11y/noAutofocus: it was asked for
      autoFocus
      maxLength={100}
      value={text}
      onFocus={(event) => event.target.select()}
      onChange={(event) => setText(event.target.value)}
      onBlur={end}
      onKeyDown={(event) => {
        event.stopPropagation();
        if (event.key === 'Enter') end();
        if (event.key === 'Escape') onEnd(null);
      }}
    />
  );
}
