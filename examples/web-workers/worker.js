import { serve } from "./load.js";

serve();
