//! The queues of names to look at again, and of names to decide.

use super::{Deduction, Queue};

impl Deduction<'_> {
    pub(super) fn change(&mut self, name: usize) {
        let this = &mut self.names[name];
        if !this.is_changed && this.decided.is_none() && (this.requirers > 0 || this.check_companions) {
            this.is_changed = true;
            self.changed.push_back(name);
        }
    }

    pub(super) fn enqueue(&mut self, name: usize, again: bool) {
        let this = &mut self.names[name];
        if this.decided.is_some() {
            return;
        }
        let at_once = this.is_settled && this.requirers > 0 && this.has_automatic && !this.has_options;
        match this.queue {
            Some(Queue::Now) => return,
            Some(_) if !at_once && !again => return,
            None if this.requirers == 0 && !this.has_companion && !this.companion_asks => return,
            _ => {}
        }
        self.dequeue(name);
        let this = &mut self.names[name];
        let queue = match (at_once, this.has_automatic) {
            (true, _) => Queue::Now,
            (false, true) => Queue::Selectable,
            (false, false) => Queue::Rest,
        };
        this.queue = Some(queue);
        let place = (this.order, name);
        match queue {
            Queue::Now => self.now.push_back(name),
            Queue::Selectable => _ = self.selectable.insert(place),
            Queue::Rest => _ = self.rest.insert(place),
        }
    }

    pub(super) fn dequeue(&mut self, name: usize) {
        let place = (self.names[name].order, name);
        match self.names[name].queue.take() {
            Some(Queue::Now) => self.now.retain(|other| *other != name),
            Some(Queue::Selectable) => _ = self.selectable.remove(&place),
            Some(Queue::Rest) => _ = self.rest.remove(&place),
            None => {}
        }
    }
}
