//! What happened in a simulation, and whether everything held.

use std::cell::RefCell;
use std::time::Duration;

use turmoil::Sim;

/// What happened.
#[derive(Default)]
pub struct History {
    /// Each line with its time.
    pub lines: Vec<String>,
    /// Broken invariant.
    broken: Option<String>,
}

impl History {
    /// Notes what happened at this time of the simulation.
    pub fn note(&mut self, text: &str) {
        let now = turmoil::sim_elapsed().unwrap_or_default();
        self.at(now, text);
    }

    /// Notes what happened at `now`.
    pub fn at(&mut self, now: Duration, text: &str) {
        self.lines.push(format!("{:9.3} {text}", now.as_secs_f64()));
    }

    /// An invariant does not hold.
    pub fn fail(&mut self, text: String) {
        self.note(&text);
        self.broken.get_or_insert(text);
    }

    /// An error with everything that happened when an invariant does not hold.
    pub fn held(&self) -> Result<(), String> {
        let Some(broken) = &self.broken else { return Ok(()) };
        Err(format!("{broken}\n{}", self.lines.join("\n")))
    }
}

/// Lets time pass, for as long as everything holds.
pub fn pass<T: AsRef<History>>(sim: &mut Sim<'_>, state: &RefCell<T>, time: Duration) -> Result<(), String> {
    let end = sim.elapsed() + time;
    while sim.elapsed() < end {
        sim.step().map_err(|error| format!("a machine ended: {error}"))?;
        state.borrow().as_ref().held()?;
    }
    Ok(())
}
