/** Which parts of a deployment are watched. */
import { isChained } from './chains';
import { Watched } from './monitoring/watched';
import type { Parts } from './parts';

/** The parts, as alarms and the dashboard name them. */
export function watched(parts: Parts): Watched {
  const { trigger, consumer, lifecycle, keeper, contexts } = parts;
  return {
    ...parts.queues,
    triggerFunction: trigger.triggerFunction,
    isAttached: parts.poolTriggers.resource !== undefined,
    isChained: isChained(trigger._chains),
    consumerService: consumer.metricsService,
    consumerFunction: consumer.consumerFunction,
    worker: consumer.consumerService,
    lifecycleFunction: lifecycle.lifecycleFunction,
    lifecycleFailures: lifecycle.failures,
    triggerKeeper: keeper?.keeperFunction,
    triggersParameter: keeper?.parameter,
    migrator: parts.schema?.migrator,
    driftFunction: parts.drift?.driftFunction,
    driftInterval: parts.driftCheck.interval,
    rowsFunction: parts.rows?.rowsFunction,
    contexts: contexts && {
      queue: contexts.queue,
      deadLetterQueue: contexts.deadLetterQueue,
      consumerService: consumer.metricsService,
      records: contexts.records,
      auditFunction: contexts.audit?.auditFunction,
    },
  };
}
