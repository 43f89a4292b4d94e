// SPDX-License-Identifier: MIT
// Goroutines in loops without a call or a check: only the signal SIGURG, sent by another thread, gets them off their processor.
// kiln: anew
package main

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

var stop atomic.Bool

func spin(seed uint64) (steps uint64) {
	for x := seed; ; steps++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		if x == 0 || stop.Load() {
			return
		}
	}
}

func main() {
	for _, processors := range []int{1, 2, 4} {
		runtime.GOMAXPROCS(processors)
		stop.Store(false)
		var group sync.WaitGroup
		var spun atomic.Int32
		for i := range 4 {
			group.Add(1)
			go func() {
				defer group.Done()
				if spin(uint64(i)+1) > 0 {
					spun.Add(1)
				}
			}()
		}
		before := make([]byte, 1<<20)
		for i := range 4 { // each collection stops the world, the spinning goroutines too
			time.Sleep(2 * time.Millisecond)
			before[i] = 1
			runtime.GC()
		}
		stop.Store(true)
		group.Wait()
		fmt.Println("processors", processors, "spun", spun.Load(), before[3])
	}
}
