//! Small arrays that are part of every later problem: prices of load, and weights of windows.

use super::Context;
use crate::Result;

impl Context {
    /// Copies prices of load by the node that serves it into the context: what serving an expert's load on a node costs,
    /// instead of 0 at home and 1 elsewhere. They are part of every later solve and evaluation with
    /// [`Policy::Soft`](crate::Policy::Soft), whose problem must have these nodes; other policies ignore them. They stay
    /// until the next ones, or until [`forget_prices`](Self::forget_prices). The plan solved before is discarded.
    ///
    /// `prices` is `[num_nodes, num_columns]`, with a column for each expert or for each group: finite, at least 0, one of
    /// them above 0; only ratios matter. A group begins on the node where it is cheapest, as far as there is room.
    /// [`Plan::off_home`](crate::Plan::off_home) is then what is paid, in parts of what all load would cost at the highest
    /// price, and [`Plan::off_home_bound`](crate::Plan::off_home_bound) what is paid where every expert is on its cheapest
    /// node.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use eplb::{Context, ContextOptions, Library, Policy, Problem, SolveOptions, WeightShape};
    /// # let mut context = Context::new(&Library::load()?, &ContextOptions::new())?;
    /// context.upload(&[90, 10, 10, 10], WeightShape::new(1, 4))?;
    /// // 3 nodes; the third one is in another rack. Each group of two experts is at home on a node of the first.
    /// context.upload_prices(&[0.0, 1.0, 1.0, 0.0, 4.0, 4.0], 3, 2)?;
    /// let problem = Problem::new(6, 3).num_nodes(3).num_groups(2).policy(Policy::Soft);
    /// let plan = context.solve(&problem, &SolveOptions::new())?;
    /// println!("{:?} is paid, at least {:?}", plan.off_home()?, plan.off_home_bound()?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::Error::InvalidArgument), naming node and column, for prices that cannot be, and for
    /// sizes that do not fit each other.
    pub fn upload_prices(&mut self, prices: &[f64], num_nodes: usize, num_columns: usize) -> Result<()> {
        self.raw.upload_prices(Some(prices), num_nodes, num_columns)?;
        self.solved = None;
        Ok(())
    }

    /// Forgets the prices. The plan solved before is discarded.
    ///
    /// # Errors
    ///
    /// [`InvalidState`](crate::Error::InvalidState) after fork.
    pub fn forget_prices(&mut self) -> Result<()> {
        self.raw.upload_prices(None, 0, 0)?;
        self.solved = None;
        Ok(())
    }

    /// Copies into the context how much each window matters to solves with
    /// [`Objective::Windows`](crate::Objective::Windows), whose weights must have as many windows. Without them all matter
    /// as much. They stay until the next ones, or until [`forget_window_weights`](Self::forget_window_weights). The plan
    /// solved before is discarded.
    ///
    /// They are finite and at least 0, one is above 0; only ratios matter, and a window below 1/131072 of the highest is
    /// left out. Figures of windows do not depend on them.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use eplb::{Context, ContextOptions, Library, Objective, Problem, SolveOptions, WeightShape};
    /// # let mut context = Context::new(&Library::load()?, &ContextOptions::new())?;
    /// context.upload(&[90, 10, 10, 10, 10, 10, 10, 90, 10, 10, 90, 10], WeightShape::new(1, 4).windows(3))?;
    /// // A memory that fades: each window matters half as much as the one after it.
    /// context.upload_window_weights(&[0.25, 0.5, 1.0])?;
    /// let plan = context.solve(&Problem::new(6, 2).objective(Objective::Windows), &SolveOptions::new())?;
    /// println!("{:?}", plan.window_imbalance()?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidArgument`](crate::Error::InvalidArgument), naming the window, for weights that cannot be, and for more than
    /// the 64 windows that are kept.
    pub fn upload_window_weights(&mut self, weights: &[f64]) -> Result<()> {
        self.raw.upload_window_weights(Some(weights))?;
        self.solved = None;
        Ok(())
    }

    /// Forgets the weights of windows: all matter as much. The plan solved before is discarded.
    ///
    /// # Errors
    ///
    /// [`InvalidState`](crate::Error::InvalidState) after fork.
    pub fn forget_window_weights(&mut self) -> Result<()> {
        self.raw.upload_window_weights(None)?;
        self.solved = None;
        Ok(())
    }
}
