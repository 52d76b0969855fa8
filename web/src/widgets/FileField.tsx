/** A file of the server: chosen from a list; a picture is shown, and can be dropped, uploaded, looked at and painted on. */
import { Brush, ImageOff, Maximize2, Upload } from 'lucide-react';
import { type DragEvent, type ReactElement, type SyntheticEvent, useRef, useState } from 'react';
import { PICTURE_NAME } from '../document/picture';
import { inputAddress, thumbnailOf, whyNot } from '../network/pictures';
import { filesOf } from '../state/actions';
import { paintNode, uploadToNode, viewInTab } from '../state/pictures';
import { Choosing } from './Choosing';
import type { Option } from './Picker';
import type { WidgetProps } from './widgets';
import './files.css';

const LISTED = 36;
const SHOWN = 512;

export function FileField(props: WidgetProps): ReactElement {
  const { label, spec, value, fault, onChange } = props;
  const file = typeof value === 'string' ? value : '';
  const isPicture = spec.widget?.accept === 'image';
  const load = async (): Promise<Option[]> => {
    const names = await filesOf(spec.folder ?? 'input');
    if (!isPicture) return names.map((one) => ({ value: one, label: one }));
    return names.filter((one) => PICTURE_NAME.test(one)).map((one) => ({ value: one, label: one, picture: thumbnailOf(one, LISTED) }));
  };
  const choosing = <Choosing label={label} tooltip={spec.tooltip} value={file} fault={fault} load={load} onPick={onChange} />;
  return isPicture ? (
    <PictureField {...props} file={file}>
      {choosing}
    </PictureField>
  ) : (
    choosing
  );
}

interface PictureProps extends WidgetProps {
  readonly file: string;
  readonly children: ReactElement;
}

function PictureField({ node, name, file, children }: PictureProps): ReactElement {
  const [over, setOver] = useState(false);
  const chooser = useRef<HTMLInputElement>(null);
  const upload = (files: FileList | null | undefined): void => {
    if (files?.[0]) void uploadToNode(node, name, files[0]);
  };
  const onDrop = (event: DragEvent): void => {
    event.preventDefault();
    event.stopPropagation();
    setOver(false);
    upload(event.dataTransfer.files);
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: files can be dropped here; the button does the same
    <div
      className="picture-field nodrag"
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={onDrop}
    >
      <div className="picture-line">
        {children}
        <button
          type="button"
          className="mini"
          title="Upload a picture"
          aria-label="Upload a picture"
          onClick={() => chooser.current!.click()}
        >
          <Upload size={14} />
        </button>
        <input
          ref={chooser}
          type="file"
          tabIndex={-1}
          accept="image/png,image/jpeg,image/webp,image/gif,image/bmp,image/tiff"
          aria-label="Picture to upload"
          onChange={(event) => {
            upload(event.target.files);
            event.target.value = '';
          }}
        />
      </div>
      <div className={over ? 'picture-view over' : 'picture-view'}>
        {file === '' ? <span>Drop a picture here, or paste one</span> : <Chosen key={file} file={file} node={node} />}
      </div>
    </div>
  );
}

function Chosen({ file, node }: { readonly file: string; readonly node: string }): ReactElement {
  const [fault, setFault] = useState<string | null>(null);
  const [size, setSize] = useState('');
  const address = thumbnailOf(file, SHOWN);
  const onLoad = ({ currentTarget }: SyntheticEvent<HTMLImageElement>): void =>
    setSize(`${file}\n${currentTarget.naturalWidth} × ${currentTarget.naturalHeight}`);
  if (fault !== null) {
    return (
      <span className="picture-fault" role="alert">
        <ImageOff size={16} />
        {fault}
      </span>
    );
  }
  return (
    <>
      <button type="button" className="picture-look" aria-label={`Show ${file} large`} onClick={() => viewInTab(inputAddress(file))}>
        <img src={address} alt={file} title={size} draggable={false} onLoad={onLoad} onError={() => void whyNot(address).then(setFault)} />
      </button>
      <span className="picture-tools">
        <button type="button" className="mini" title="Paint a mask" aria-label="Paint a mask" onClick={() => paintNode(node)}>
          <Brush size={14} />
        </button>
        <button
          type="button"
          className="mini"
          title="Show large"
          aria-label={`Look at ${file}`}
          onClick={() => viewInTab(inputAddress(file))}
        >
          <Maximize2 size={14} />
        </button>
      </span>
    </>
  );
}
