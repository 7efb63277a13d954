import { INVENTORY_MUTANTS } from './inventory-mutants.ts';
import { LAYOUT_MUTANTS } from './layout-mutants.ts';
import type { Mutant } from './mutant.ts';
import { VALUE_MUTANTS } from './value-mutants.ts';

/** Every mutant of weights. */
export const WEIGHT_MUTANTS: readonly Mutant[] = [...LAYOUT_MUTANTS, ...VALUE_MUTANTS, ...INVENTORY_MUTANTS];
