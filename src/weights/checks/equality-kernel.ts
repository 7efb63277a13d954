import {
  add,
  and,
  assembleModule,
  type Code,
  type FunctionSource,
  get,
  i32,
  Locals,
  load,
  load32,
  or,
  repeat,
  sequence,
  set,
  shuffle,
  store,
  xor,
} from '../../wasm/assembler.ts';
import { addWhole16, addWhole32, addWhole64 } from '../../wasm/float-lanes.ts';
import { startModule, type WasmMemory } from '../../wasm/instance.ts';

/**
 * Where the kernel keeps what it is told and what it tells: 16 bytes each. A lane that is `magnitude` of a value plus
 * `step` has its sign bit set where the value is NaN or infinite; for whole numbers both are 0.
 */
export const KERNEL_AT = { magnitude: 0, step: 16, differing: 32, notFinite: 48, data: 64 } as const;

/** Bytes that `scan16`, `scan32` and `scan64` take at a turn. */
export const SCAN_BYTES = 64;

/**
 * A running kernel that looks whether two arrays are the same bits, all of them finite. Places are offsets in its
 * memory, counts are at least 1. It only adds to `differing` (bits that differ) and `notFinite` (of the left side).
 */
export interface EqualityKernel {
  readonly memory: WasmMemory;
  /** Compares `turns` times 64 bytes, as lanes of 16 bits. */
  scan16(left: number, right: number, turns: number): void;
  /** The same as lanes of 32 bits. */
  scan32(left: number, right: number, turns: number): void;
  /** The same as lanes of 64 bits. */
  scan64(left: number, right: number, turns: number): void;
  /**
   * Compares a matrix of 16-bit lanes with its columns as they lie elsewhere, each in one piece: blocks of eight rows
   * by eight columns. `left` is the first row, `leftStride` the bytes from row to row; `columns` is a table of the
   * 32-bit places of the columns, and `offset` the bytes of each before the first row.
   */
  scanColumns16(
    left: number,
    columns: number,
    leftStride: number,
    offset: number,
    rowBlocks: number,
    columnBlocks: number,
  ): void;
  /** The same with 32-bit lanes, in blocks of four by four. */
  scanColumns32: EqualityKernel['scanColumns16'];
  /** The same with 64-bit lanes, in blocks of two by two. */
  scanColumns64: EqualityKernel['scanColumns16'];
}

const [LEFT, RIGHT] = [0, 1] as const;

const advance = (pointer: number, bytes: Code): Code => set(pointer, add(get(pointer), bytes));

/** The four vectors that every function works with, and how they are taken from memory and put back. */
function gauges(locals: Locals) {
  const [magnitude, step, differing, notFinite] = locals.vectors(4) as [number, number, number, number];
  return {
    differing,
    begin: sequence(
      set(magnitude, load(i32(0), KERNEL_AT.magnitude)),
      set(step, load(i32(0), KERNEL_AT.step)),
      set(differing, load(i32(0), KERNEL_AT.differing)),
      set(notFinite, load(i32(0), KERNEL_AT.notFinite)),
    ),
    take: (value: number, other: Code, addLanes: (left: Code, right: Code) => Code) =>
      sequence(
        set(differing, or(get(differing), xor(get(value), other))),
        set(notFinite, or(get(notFinite), addLanes(and(get(value), get(magnitude)), get(step)))),
      ),
    end: sequence(
      store(i32(0), KERNEL_AT.differing, get(differing)),
      store(i32(0), KERNEL_AT.notFinite, get(notFinite)),
    ),
  };
}

function scan(name: string, addLanes: (left: Code, right: Code) => Code): FunctionSource {
  const turns = 2;
  const locals = new Locals(3);
  const { begin, take, end } = gauges(locals);
  const value = locals.take('v128');
  const body = sequence(
    begin,
    repeat(
      turns,
      sequence(
        ...[0, 16, 32, 48].map((at) =>
          sequence(set(value, load(get(LEFT), at)), take(value, load(get(RIGHT), at), addLanes)),
        ),
        advance(LEFT, i32(SCAN_BYTES)),
        advance(RIGHT, i32(SCAN_BYTES)),
      ),
    ),
    end,
  );
  return { name, parameters: 3, locals: locals.types, body };
}

/** Which bytes of two vectors stand in turn where their first or second halves are interleaved, lane by lane. */
function interleaved(laneBytes: number, half: 'first' | 'second'): readonly number[] {
  const from = half === 'first' ? 0 : 8;
  return Array.from({ length: 16 }, (_, place) => {
    const lane = Math.floor(place / laneBytes);
    return (lane % 2) * 16 + from + Math.floor(lane / 2) * laneBytes + (place % laneBytes);
  });
}

/**
 * The code that exchanges rows and columns of a block, one vector a row, and where the result is: interleaving each
 * vector with the one half a block on, as often as it takes to halve the block to one.
 */
function exchanged(block: readonly number[], spare: readonly number[]): readonly [Code, readonly number[]] {
  const count = block.length;
  let [from, to] = [block, spare];
  const code: Code[] = [];
  for (let size = count; size > 1; size /= 2) {
    for (let at = 0; at < count / 2; at++) {
      const [left, right] = [get(from[at]!), get(from[at + count / 2]!)];
      code.push(set(to[2 * at]!, shuffle(left, right, interleaved(16 / count, 'first'))));
      code.push(set(to[2 * at + 1]!, shuffle(left, right, interleaved(16 / count, 'second'))));
    }
    [from, to] = [to, from];
  }
  return [sequence(...code), from];
}

function scanColumns(
  name: string,
  count: number,
  addLanes: (left: Code, right: Code) => Code,
): FunctionSource {
  const [columns, leftStride, offset, rowBlocks, columnBlocks] = [1, 2, 3, 4, 5] as const;
  const locals = new Locals(6);
  const { begin, take, end } = gauges(locals);
  const [blocks, row] = [locals.take('i32'), locals.take('i32')];
  const places = Array.from({ length: count }, () => locals.take('i32'));
  const [block, spare] = [locals.vectors(count), locals.vectors(count)];
  const value = locals.take('v128');
  const [exchange, turned] = exchanged(block, spare);
  const compareBlock = sequence(
    ...block.map((vector, nth) =>
      sequence(set(vector, load(get(places[nth]!), 0)), advance(places[nth]!, i32(16))),
    ),
    exchange,
    ...turned.map((vector) =>
      sequence(
        set(value, load(get(row), 0)),
        take(value, get(vector), addLanes),
        advance(row, get(leftStride)),
      ),
    ),
  );
  const body = sequence(
    begin,
    repeat(
      columnBlocks,
      sequence(
        set(row, get(LEFT)),
        set(blocks, get(rowBlocks)),
        ...places.map((place, nth) => set(place, add(load32(get(columns), 4 * nth), get(offset)))),
        repeat(blocks, compareBlock),
        advance(LEFT, i32(16)),
        advance(columns, i32(4 * count)),
      ),
    ),
    end,
  );
  return { name, parameters: 6, locals: locals.types, body };
}

let binary: Uint8Array | undefined;

/** Starts a kernel with a memory of its own, one page large; the caller grows it. */
export function startEqualityKernel(): EqualityKernel {
  binary ??= assembleModule(
    [
      scan('scan16', addWhole16),
      scan('scan32', addWhole32),
      scan('scan64', addWhole64),
      scanColumns('scanColumns16', 8, addWhole16),
      scanColumns('scanColumns32', 4, addWhole32),
      scanColumns('scanColumns64', 2, addWhole64),
    ],
    1,
  );
  return startModule(binary) as EqualityKernel;
}
