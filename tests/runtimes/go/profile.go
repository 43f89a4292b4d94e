// SPDX-License-Identifier: MIT
// The sampling profiler: a timer for each thread sends it SIGPROF, whose handler walks the stack from the interrupted registers.
package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"runtime"
	"runtime/pprof"
	"sync"
	"time"
)

//go:noinline
func hotLoop(n uint64) uint64 {
	for i := uint64(0); i < 1000; i++ {
		n = n*6364136223846793005 + i
	}
	return n
}

func main() {
	runtime.GOMAXPROCS(3)
	runtime.SetCPUProfileRate(1000)
	var profile bytes.Buffer
	if err := pprof.StartCPUProfile(&profile); err != nil {
		fmt.Println(err)
	}
	var group sync.WaitGroup
	end := time.Now().Add(400 * time.Millisecond)
	for id := range 3 {
		group.Add(1)
		go func() {
			defer group.Done()
			for n := uint64(id); time.Now().Before(end); n = hotLoop(n) {
				_ = make([]byte, 100+n%100)
			}
		}()
	}
	group.Wait()
	pprof.StopCPUProfile()
	reader, err := gzip.NewReader(&profile)
	if err != nil {
		fmt.Println(err)
		return
	}
	text, _ := io.ReadAll(reader)
	fmt.Println("the loop was seen", bytes.Contains(text, []byte("main.hotLoop")))
}
