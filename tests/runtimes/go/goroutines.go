// SPDX-License-Identifier: MIT
// Channels, select, timers, locks and collections with many goroutines on more threads than processors.
// kiln: interp
package main

import (
	"fmt"
	"runtime"
	"sort"
	"sync"
	"time"
)

type node struct {
	left, right *node
	value       int
}

func tree(depth int) *node {
	if depth == 0 {
		return &node{value: 1}
	}
	return &node{tree(depth - 1), tree(depth - 1), 1}
}

func (n *node) sum() int {
	if n == nil {
		return 0
	}
	return n.value + n.left.sum() + n.right.sum()
}

func sieve(limit int) (count int) {
	numbers := make(chan int)
	go func(out chan<- int) {
		for i := 2; i <= limit; i++ {
			out <- i
		}
		close(out)
	}(numbers)
	for {
		prime, more := <-numbers
		if !more {
			return
		}
		count++
		rest := make(chan int)
		go func(in <-chan int) {
			for n := range in {
				if n%prime != 0 {
					rest <- n
				}
			}
			close(rest)
		}(numbers)
		numbers = rest
	}
}

func main() {
	runtime.GOMAXPROCS(4)
	fmt.Println("primes", sieve(1000))

	var group sync.WaitGroup
	var lock sync.Mutex
	sums := map[int]int{}
	for i := range 64 {
		group.Add(1)
		go func() {
			defer group.Done()
			sum := tree(8 + i%4).sum()
			lock.Lock()
			sums[sum]++
			lock.Unlock()
		}()
	}
	group.Wait()
	keys := []int{}
	for key := range sums {
		keys = append(keys, key)
	}
	sort.Ints(keys)
	for _, key := range keys {
		fmt.Println("trees of", key, "nodes:", sums[key])
	}

	ticks, late := 0, time.After(20*time.Second)
	ticker := time.NewTicker(time.Millisecond)
	for ticks < 20 {
		select {
		case <-ticker.C:
			ticks++
		case <-late:
			fmt.Println("no ticks")
			return
		}
	}
	fmt.Println("ticks", ticks)

	// Threads that are bound to their goroutine, and end with it.
	done := make(chan int)
	for i := range 20 {
		go func() {
			runtime.LockOSThread()
			done <- i
		}()
	}
	total := 0
	for range 20 {
		total += <-done
	}
	fmt.Println("threads", total)
}
