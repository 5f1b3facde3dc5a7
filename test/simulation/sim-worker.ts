// The thread that `sim-pool.ts` starts.

import { serve } from './sim-job.ts';

serve();
