// SPDX-License-Identifier: MIT
// Panics that begin as a fault: the runtime's handler changes the registers of the signal frame so that the faulting goroutine
// seems to have called the function that panics.
// kiln: interp
package main

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"unsafe"
)

type thing struct {
	fill  [100]int
	value int
}

//go:noinline
func read(t *thing) int { return t.value }

//go:noinline
func write(t *thing) { t.value = 1 }

//go:noinline
func at(list []int, i int) int { return list[i] }

//go:noinline
func divide(a, b int) int { return a / b }

func caught(act func()) (text string) {
	defer func() {
		if reason := recover(); reason != nil {
			var fault runtime.Error
			if err, ok := reason.(error); ok && errors.As(err, &fault) {
				text = fault.Error()
			} else {
				text = fmt.Sprint("other: ", reason)
			}
		}
	}()
	act()
	return "nothing"
}

func deep(n int) int {
	var room [64]int
	room[n%64] = n
	if n == 0 {
		return read(nil)
	}
	return deep(n-1) + room[(n+1)%64]
}

func main() {
	acts := []func(){
		func() { read(nil) },
		func() { write(nil) },
		func() { at([]int{1, 2}, 5) },
		func() { divide(1, len("")) },
		func() { deep(10000) },
		func() { var none func(); none() },
	}
	for _, act := range acts {
		fmt.Println(caught(act))
	}
	var group sync.WaitGroup
	wrong := make(chan string, 8)
	for range 8 {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := range 500 {
				if text := caught(acts[i%2]); text != "runtime error: invalid memory address or nil pointer dereference" {
					wrong <- text
					return
				}
			}
		}()
	}
	group.Wait()
	fmt.Println("wrong", len(wrong))

	debug.SetPanicOnFault(true)
	memory, err := syscall.Mmap(-1, 0, 8192, syscall.PROT_READ, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	fmt.Println(err)
	text := caught(func() { memory[5000] = 1 })
	fmt.Println(text)
	func() {
		defer func() {
			type addressed interface{ Addr() uintptr }
			fault := recover().(addressed)
			fmt.Println("at", fault.Addr()-uintptr(unsafe.Pointer(&memory[0])))
		}()
		memory[5001] = 1
	}()
}
