// The module behind `import { Buffer } from "buffer"`.

import { Blob, File } from "larder:prelude/blob.js";
import { Buffer } from "larder:prelude/buffer.js";

const { atob, btoa } = globalThis;
const SlowBuffer = Buffer;
const constants = { MAX_LENGTH: 2 ** 31 - 1, MAX_STRING_LENGTH: 2 ** 29 - 24 };
const kMaxLength = constants.MAX_LENGTH;

export { Blob, Buffer, File, SlowBuffer, atob, btoa, constants, kMaxLength };
export default { Blob, Buffer, File, SlowBuffer, atob, btoa, constants, kMaxLength };
