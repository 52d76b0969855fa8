/** Commands for subgraphs. */
import { enterSelected, leaveLevel, makeOfSelected, separateSelected, unpackSelected } from '../state/inside';
import { publishSelected } from '../state/mine';
import { type Command, canvas, command } from './command';

export const SUBGRAPH_COMMANDS: readonly Command[] = [
  command('subgraph', 'Make a subgraph', 'Nodes', 'S', () => makeOfSelected(canvas().boxes())),
  command('unpack', 'Unpack the subgraph', 'Nodes', 'Shift+S', unpackSelected),
  command('inside', 'Enter the subgraph', 'Nodes', 'I', enterSelected),
  command('outside', 'Leave the subgraph', 'Nodes', 'U', leaveLevel),
  command('independent', 'Make the subgraph independent', 'Nodes', '', separateSelected),
  command('publish', 'Keep the subgraph in “My nodes”', 'Nodes', '', () => void publishSelected()),
];
