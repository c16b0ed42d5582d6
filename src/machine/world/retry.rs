//! Retries in a world: a decision, and the budgets that many calls share.

use super::World;
use crate::machine::retry::{Decision, Failed, RetryBudget, RetryConfig};
use crate::machine::time::Instant;
use crate::machine::wakes::MachineId;

impl World {
    /// Makes a budget for many calls to share. `None` when there are 2^24 already.
    pub fn open_retry_budget(&mut self, budget: RetryBudget) -> Option<MachineId> {
        self.budgets.insert(budget)
    }

    /// Forgets a budget.
    pub fn drop_retry_budget(&mut self, id: MachineId) {
        self.budgets.remove(id);
    }

    /// Counts a call: see [`RetryBudget::deposit`].
    pub fn retry_deposit(&mut self, now: Instant, id: MachineId) {
        if let Some(budget) = self.budgets.get_mut(id) {
            budget.deposit(now);
        }
    }

    /// Decides after a failure: see [`RetryConfig::decide`].
    pub fn retry_decide(
        &mut self,
        now: Instant,
        config: &RetryConfig,
        failed: Failed,
        budget: Option<MachineId>,
    ) -> Decision {
        let budget = budget.and_then(|id| self.budgets.get_mut(id));
        config.decide(now, failed, budget, &mut self.random)
    }
}
