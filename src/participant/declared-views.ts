import { publicText } from '../errors/problem.ts';
import { type OpenSnapshot, openSnapshot } from '../features/rows/open-snapshot.ts';
import type { Telemetry } from '../ports/telemetry.ts';
import { hasControls } from '../protocol/field.ts';
import { DECLARED_CATEGORIES_MAX, type DeclaredColumn, type DeclaredView } from '../rounds/declared-view.ts';
import type { ParticipantConfig } from './config.ts';
import { problemOf } from './insist.ts';
import { allowedDatasets } from './permissions.ts';

/** Columns and categories that one site declares, all views together: far below what a message may hold. */
const DECLARED_MAX = 15_000;

/**
 * The feature views behind the datasets that jobs may use, as their files are at this moment: names, types, units and
 * lists of categories, and nothing of any row. A view that cannot be read is not declared, with a warning; a job over
 * it goes on without this site.
 */
export async function declaredViews(
  config: ParticipantConfig,
  telemetry: Telemetry,
  reference: () => string,
): Promise<readonly DeclaredView[]> {
  const declared: DeclaredView[] = [];
  let size = 0;
  for (const name of allowedDatasets(config)) {
    const dataset = config.datasets[name];
    if (dataset?.kind !== 'features') continue;
    try {
      const opened = await openSnapshot(dataset.path, dataset.snapshot);
      if (opened.record.schemaHash !== opened.view.schemaHash) {
        telemetry.log('warn', 'the feature view has changed since the snapshot was taken', {
          dataset: name,
          view: opened.view.view,
        });
      }
      const view = declaredView(name, opened.view);
      size += view.columns.reduce((sum, { categories = [] }) => sum + 1 + categories.length, 0);
      if (size > DECLARED_MAX) {
        telemetry.log('warn', 'feature view not declared: it has too many columns and categories', {
          dataset: name,
        });
        return declared;
      }
      declared.push(view);
      telemetry.log('info', 'feature view declared', {
        dataset: name,
        view: view.view,
        hash: view.schemaHash,
      });
    } catch (error) {
      const problem = problemOf(error, reference);
      // What is catalogued says all; of an accident, the log holds where it happened.
      const trace = problem.code === 'INTERNAL' ? { error } : { reason: publicText(problem) };
      telemetry.log('warn', 'feature view not declared', { dataset: name, problem, ...trace });
    }
  }
  return declared;
}

/** A view as it is declared for a dataset. A text that a message cannot carry is left out of it. */
export function declaredView(
  dataset: string,
  { view, schemaHash, columns }: OpenSnapshot['view'],
): DeclaredView {
  return {
    dataset,
    view,
    schemaHash,
    columns: columns.map(
      (column): DeclaredColumn => ({
        name: column.name,
        type: column.type,
        unit: column.unit !== undefined && hasControls(column.unit) ? undefined : column.unit,
        categories: column.type === 'category' ? declaredList(column.categories) : undefined,
      }),
    ),
  };
}

function declaredList(categories: readonly string[]): readonly string[] | undefined {
  return categories.length > DECLARED_CATEGORIES_MAX || categories.some(hasControls) ? undefined : categories;
}
