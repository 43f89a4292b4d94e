// SPDX-License-Identifier: MIT
// Child processes, mapped files, shutdown by signal.
import java.io.*;
import java.nio.*;
import java.nio.channels.*;
import java.nio.file.*;
import java.util.*;

public class Processes {
    static Process self(String... args) throws IOException {
        List<String> command = new ArrayList<>(List.of(ProcessHandle.current().info().command().orElseThrow(), "-Xshare:auto", "-XX:TieredStopAtLevel=1",
                                                       "-cp", System.getProperty("java.class.path"), "Processes"));
        command.addAll(List.of(args));
        return new ProcessBuilder(command).redirectErrorStream(true).start();
    }

    static void child(String what) throws Exception {
        switch (what) {
            case "upper" -> System.out.print(new String(System.in.readAllBytes()).toUpperCase());
            case "exit" -> System.exit(7);
            case "wait" -> {
                Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("shutdown hook")));
                System.out.println("up");
                Thread.sleep(60000);
            }
        }
    }

    static void mapped() throws Exception {
        Path file = Files.createTempFile("mapped", "");
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            MappedByteBuffer map = channel.map(FileChannel.MapMode.READ_WRITE, 0, 100000);
            for (int i = 0; i < 25000; i++) map.putInt(i * 4, i);
            map.force();
            ByteBuffer back = ByteBuffer.allocate(100000);
            while (back.hasRemaining() && channel.read(back) >= 0) { }
            long sum = 0;
            for (int i = 0; i < 25000; i++) sum += back.getInt(i * 4);
            System.out.println("mapped " + sum);
            channel.truncate(0);
            try {
                System.out.println("read " + map.get(50000));
            } catch (InternalError e) { // SIGBUS
                System.out.println("truncated");
            }
        }
        Files.delete(file);
    }

    public static void main(String[] args) throws Exception {
        if (args.length > 0) {
            child(args[0]);
            return;
        }
        Process upper = self("upper");
        upper.getOutputStream().write("from the parent".getBytes());
        upper.getOutputStream().close();
        System.out.println(new String(upper.getInputStream().readAllBytes()) + " " + upper.waitFor());
        System.out.println(self("exit").waitFor());
        for (String program : new String[] {"/nowhere/program", "/etc"}) {
            try {
                new ProcessBuilder(program).start();
                System.out.println("started");
            } catch (IOException e) {
                System.out.println(e.getMessage());
            }
        }
        Process waiting = self("wait");
        BufferedReader lines = new BufferedReader(new InputStreamReader(waiting.getInputStream()));
        System.out.println(lines.readLine());
        waiting.toHandle().destroy(); // SIGTERM; destroy() itself would close the streams
        System.out.println(lines.readLine() + " " + waiting.waitFor());
        mapped();
    }
}
