/** A titled frame behind nodes. */
import { type NodeProps, NodeResizeControl } from '@xyflow/react';
import { type CSSProperties, memo, type ReactElement } from 'react';
import { drawable } from '../document/colors';
import { changeGroup } from '../document/edits/groups';
import { perform, select, useEditor } from '../state/editor';
import type { FlowGroup } from '../state/flow';
import { rename, useRenaming } from '../state/renaming';
import { TitleField } from './TitleField';

/** Pressed with Shift it is selected with the others, or no more. */
function pick(id: string, more: boolean): void {
  const { selection } = useEditor.getState();
  if (more) select(selection.has(id) ? [...selection].filter((one) => one !== id) : [...selection, id]);
  else if (!selection.has(id)) select([id]);
}

export const GroupView = memo(
  function GroupView({ data, selected }: NodeProps<FlowGroup>): ReactElement {
    const { group, index } = data;
    const renamed = useRenaming((state) => state.id === `group:${index}`);
    const color = drawable(group.color) ?? '#5b6472';
    return (
      <div className={selected ? 'group selected' : 'group'} style={{ '--group': color } as CSSProperties}>
        {/* biome-ignore lint/a11y/noStaticElementInteractions: F2 does the same */}
        <div
          className="group-title grip"
          onPointerDown={(event) => pick(`group:${index}`, event.shiftKey)}
          onDoubleClick={() => rename(`group:${index}`)}
        >
          {renamed ? (
            <TitleField
              label="Title of the group"
              value={group.title ?? ''}
              onDone={(title) => perform('Rename the group', (edit) => changeGroup(edit, index, { title }))}
            />
          ) : (
            group.title || 'Group'
          )}
        </div>
        {selected && <NodeResizeControl position="bottom-right" minWidth={80} minHeight={60} className="resizer" />}
      </div>
    );
  },
  (before, after) => before.data === after.data && before.selected === after.selected,
);
