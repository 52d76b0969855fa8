/** A value and a list to choose another from. */
import { ChevronDown } from 'lucide-react';
import { type ReactElement, useRef, useState } from 'react';
import { type Option, Picker } from './Picker';

interface ChoosingProps {
  readonly label: string;
  readonly tooltip: string | undefined;
  readonly value: string;
  readonly fault: string | null;
  readonly load: () => readonly Option[] | Promise<readonly Option[]>;
  readonly onPick: (value: string) => void;
}

export function Choosing({ label, tooltip, value, fault, load, onPick }: ChoosingProps): ReactElement {
  const [options, setOptions] = useState<readonly Option[] | null | false>(false);
  const button = useRef<HTMLButtonElement>(null);
  const open = (): void => {
    const found = load();
    if (found instanceof Promise) {
      setOptions(null);
      void found.then(setOptions);
    } else setOptions(found);
  };
  const close = (): void => {
    setOptions(false);
    button.current?.focus({ preventScroll: true });
  };
  return (
    <>
      <button
        ref={button}
        type="button"
        className={`field line choice nodrag${fault ? ' wrong' : ''}`}
        aria-haspopup="listbox"
        aria-expanded={options !== false}
        title={fault ?? tooltip}
        onClick={open}
      >
        <span className="field-label">{label}</span>
        <span className="field-value">{value || 'choose…'}</span>
        <ChevronDown size={13} className="chevron" />
      </button>
      {options !== false && button.current !== null && (
        <Picker
          options={options}
          value={value}
          anchor={button.current}
          label={label}
          onPick={(picked) => {
            onPick(picked);
            close();
          }}
          onClose={close}
        />
      )}
    </>
  );
}
