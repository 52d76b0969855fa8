/** A titled frame behind nodes. */
import { type NodeProps, NodeResizeControl } from '@xyflow/react';
import { type CSSProperties, memo, type ReactElement, useState } from 'react';
import { changeGroup } from '../document/edits/groups';
import { perform } from '../state/editor';
import type { FlowGroup } from '../state/flow';

export const GroupView = memo(
  function GroupView({ data, selected }: NodeProps<FlowGroup>): ReactElement {
    const [text, setText] = useState<string | null>(null);
    const { group, index } = data;
    const finish = (): void => {
      if (text !== null) perform('Rename the group', (edit) => changeGroup(edit, index, { title: text }));
      setText(null);
    };
    const color = /^#[0-9a-f]{3,8}$/i.test(group.color ?? '') ? group.color : '#5b6472';
    return (
      <div className={selected ? 'group selected' : 'group'} style={{ '--group': color } as CSSProperties}>
        {/* biome-ignore lint/a11y/noStaticElementInteractions: the title is also changed with the keyboard, in the field */}
        <div className="group-title grip" onDoubleClick={() => setText(group.title ?? '')}>
          {text === null ? (
            group.title || 'Group'
          ) : (
            <input
              className="nodrag"
              aria-label="Title of the group"
              // biome-ignore lint/a11y/noAutofocus: it takes the place of what was clicked
              autoFocus
              value={text}
              onChange={(event) => setText(event.target.value)}
              onBlur={finish}
              onKeyDown={(event) => {
                event.stopPropagation();
                if (event.key === 'Enter') finish();
                if (event.key === 'Escape') setText(null);
              }}
            />
          )}
        </div>
        {selected && <NodeResizeControl position="bottom-right" minWidth={80} minHeight={60} className="resizer" />}
      </div>
    );
  },
  (before, after) => before.data === after.data && before.selected === after.selected,
);
