/** A field to search in what is listed below it. */
import './SearchField.css';
import { Search } from 'lucide-react';
import type { ReactElement } from 'react';

interface Props {
  readonly label: string;
  readonly value: string;
  readonly onChange: (value: string) => void;
}

export function SearchField({ label, value, onChange }: Props): ReactElement {
  return (
    <label className="search">
      <Search size={13} />
      <input type="search" placeholder="Search" aria-label={label} value={value} onChange={(event) => onChange(event.target.value)} />
    </label>
  );
}
