package eplb

import (
	"context"
	"fmt"
	"time"
)

// How often C is asked to end a call until it has: it forgets what it is asked before it begins.
const betweenRequests = time.Millisecond

// acquire begins a call; release ends it. The unlock at the end also keeps the session reachable, and so its handle
// valid, until C has returned.
func (c *Context) acquire() error {
	if c == nil || c.session == nil {
		return errorf(ErrInvalidState, "the context is nil")
	}
	if c.ctx != nil && c.ctx.Err() != nil {
		return interrupted(c.ctx)
	}
	if !c.mutex.TryLock() {
		// A plan that reads its report is no call of the program's: that is waited for.
		if !c.startReading() {
			return interrupted(c.ctx)
		}
		free := c.mutex.TryLock()
		<-c.reading
		if !free {
			return errorf(ErrInvalidState, "the context is in use by another call: one at a time, or a context per goroutine")
		}
	}
	if c.handle == 0 {
		c.mutex.Unlock()
		return errorf(ErrInvalidState, "the context is closed")
	}
	c.watch()
	return nil
}

func (c *Context) release() {
	if c.unwatch != nil {
		c.unwatch()
		c.unwatch = nil
	}
	c.mutex.Unlock()
}

// borrow is acquire for a plan that reads its report. It does not wait for a call.
func (c *Context) borrow() bool {
	if !c.startReading() {
		return false
	}
	if c.mutex.TryLock() {
		if c.handle != 0 {
			c.watch()
			return true
		}
		c.mutex.Unlock()
	}
	<-c.reading
	return false
}

func (c *Context) giveBack() {
	c.release()
	<-c.reading
}

// startReading waits for a plan that reads its report, but not longer than until ctx is done.
func (c *Context) startReading() bool {
	var done <-chan struct{}
	if c.ctx != nil {
		done = c.ctx.Done()
	}
	select {
	case c.reading <- struct{}{}:
		return true
	case <-done:
		return false
	}
}

// watch asks C, once ctx is done, to end the call that begins now, whatever it is doing, until release. No request comes
// after that: it could hit the next call, or a handle that is freed.
func (c *Context) watch() {
	if c.ctx == nil {
		return
	}
	interrupt, handle := c.library.call.ContextInterrupt, c.handle
	over, ended := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(c.ctx, func() {
		defer close(ended)
		ticker := time.NewTicker(betweenRequests)
		defer ticker.Stop()
		for {
			interrupt(handle)
			select {
			case <-over:
				return
			case <-ticker.C:
			}
		}
	})
	c.unwatch = func() {
		if !stop() {
			close(over)
			<-ended
		}
	}
}

// check turns what C has answered to the call into an error.
func (c *Context) check(status int32) error {
	if Status(status) == ErrInterrupted && c.ctx != nil {
		return interrupted(c.ctx)
	}
	return c.err.check(status)
}

// interrupted is the error of a call that ctx has ended, or has kept from beginning.
func interrupted(ctx context.Context) error {
	return fmt.Errorf("%w: %w", errorf(ErrInterrupted, "the call was interrupted"), ctx.Err())
}
