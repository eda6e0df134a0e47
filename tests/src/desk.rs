//! A desk to sit at: a private display and session bus, a backend, and the companion set up for it with its tokens in a
//! file. What most tests of the window begin with.

use crate::backend::Backend;
use crate::companion::{self, EMAIL, PASSWORD, Tokens};
use crate::desktop;
use crate::process::Process;
use crate::window::Window;
use crate::world::World;
use anyhow::Result;

#[derive(Debug)]
pub struct Desk {
    pub world: World,
    pub backend: Backend,
    _session: [Process; 2],
}

impl Desk {
    pub async fn new() -> Result<Desk> {
        let mut world = World::new()?;
        let display = desktop::display(&mut world).await?;
        let bus = desktop::bus(&mut world).await?;
        let backend = Backend::start(&world).await?;
        companion::configure(&world, &backend.url(), Tokens::File)?;
        Ok(Desk { world, backend, _session: [display, bus] })
    }

    /// The window, after an account was made in it; the run that this begins may not be over.
    pub async fn register(&self) -> Result<Window> {
        let window = Window::start(&self.world).await?;
        window.register(EMAIL, PASSWORD).await?;
        Ok(window)
    }

    /// The same, once that run is over.
    pub async fn signed_in(&self) -> Result<Window> {
        let window = self.register().await?;
        window.shows("status-head", "data-state", "up_to_date").await?;
        Ok(window)
    }

    /// The test has seen all it wanted to see.
    pub async fn leave(self, window: Window) -> Result<()> {
        window.close().await?;
        self.world.done();
        Ok(())
    }
}
