// SPDX-License-Identifier: MIT
// Child processes, their errors and signals.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

func child(what string) {
	switch what {
	case "upper":
		text, _ := io.ReadAll(os.Stdin)
		fmt.Print(strings.ToUpper(string(text)))
	case "exit":
		os.Exit(7)
	case "sleep":
		time.Sleep(time.Minute)
	}
}

func main() {
	if len(os.Args) > 1 {
		child(os.Args[1])
		return
	}
	self, _ := os.Executable()
	var group sync.WaitGroup
	answers := make([]string, 12)
	for i := range answers {
		group.Add(1)
		go func() {
			defer group.Done()
			command := exec.Command(self, "upper")
			command.Stdin = bytes.NewBufferString(fmt.Sprint("child ", i))
			text, err := command.Output()
			answers[i] = string(text)
			if err != nil {
				answers[i] = err.Error()
			}
		}()
	}
	group.Wait()
	fmt.Println(strings.Join(answers, ", "))

	fmt.Println(exec.Command(self, "exit").Run())
	fmt.Println(exec.Command("/nowhere/program").Run())
	fmt.Println(errors.Is(exec.Command("/etc").Run(), os.ErrPermission))
	limited, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	fmt.Println(exec.CommandContext(limited, self, "sleep").Run())

	received := make(chan os.Signal, 200)
	signal.Notify(received, syscall.SIGUSR1)
	for range 100 {
		syscall.Kill(os.Getpid(), syscall.SIGUSR1)
		<-received
	}
	fmt.Println("signals 100")
}
