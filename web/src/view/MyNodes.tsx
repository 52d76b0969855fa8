/** Nodes of one's own: subgraphs that are offered in every workflow. */
import './MyNodes.css';
import * as Menu from '@radix-ui/react-dropdown-menu';
import { Boxes, EllipsisVertical } from 'lucide-react';
import { type ReactElement, useState } from 'react';
import type { NodeSpec } from '../document/catalog';
import { canvas } from '../gestures/command';
import { useEditor } from '../state/editor';
import { forgetMine, putMine, renameMine } from '../state/mine';
import { Item, Rename } from './ListParts';

export function MyNodes(): ReactElement | null {
  const published = useEditor((state) => state.published);
  const specs = Object.values(published);
  if (specs.length === 0) return null;
  return (
    <section aria-label="My nodes">
      <h3 className="side-title">My nodes</h3>
      <ul className="list">
        {specs.map((spec) => (
          <MyNode key={spec.id} spec={spec} />
        ))}
      </ul>
    </section>
  );
}

function MyNode({ spec }: { readonly spec: NodeSpec }): ReactElement {
  const [renaming, setRenaming] = useState(false);
  const name = spec.title;
  const put = (): void => putMine(spec, canvas().pointer().flow);
  return (
    <li className="file-item my-node">
      <button type="button" className="list-main" title="Put it into the workflow" onClick={put}>
        <Boxes size={16} />
        <span className="file-words">
          <b>{name}</b>
          <small>{portsOf(spec)}</small>
        </span>
      </button>
      <Menu.Root modal={false}>
        <Menu.Trigger className="tool" aria-label={`More about ${name}`}>
          <EllipsisVertical size={14} />
        </Menu.Trigger>
        <Menu.Portal>
          <Menu.Content className="menu" sideOffset={4} align="end" onCloseAutoFocus={(event) => event.preventDefault()}>
            <Item label="Put into the workflow" onSelect={put} />
            <Item label="Rename" onSelect={() => setRenaming(true)} />
            <Item label="Remove from “My nodes”" onSelect={() => void forgetMine(spec)} />
          </Menu.Content>
        </Menu.Portal>
      </Menu.Root>
      {renaming && (
        <Rename
          name={name}
          onEnd={(to) => {
            setRenaming(false);
            if (to !== null) void renameMine(spec, to);
          }}
        />
      )}
    </li>
  );
}

/** `image, seed → image` */
function portsOf(spec: NodeSpec): string {
  const [inputs, outputs] = [Object.keys(spec.inputs), Object.keys(spec.outputs)].map((names) => names.join(', ').replaceAll('_', ' '));
  return [inputs, outputs].filter(Boolean).join(' → ') || 'no ports';
}
