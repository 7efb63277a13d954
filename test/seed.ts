import { randomInt } from 'node:crypto';
import fc from 'fast-check';

// The seed of every property is CONSILIUM_SEED: a number that a failure named, or `random`; see vitest.config.ts.
const said = process.env.CONSILIUM_SEED;
const seed = said === 'random' ? randomInt(2 ** 31) : Number(said);
fc.configureGlobal({ ...fc.readConfigureGlobal(), seed });
