package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// configure does one ioctl of a network interface (netdevice(7)).
func configure(request uint, name string, set func(*unix.Ifreq) error) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(fd)
	ifreq, err := unix.NewIfreq(name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	if err := set(ifreq); err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	if err := unix.IoctlIfreq(fd, request, ifreq); err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	return nil
}

func up(name string) error {
	return configure(unix.SIOCSIFFLAGS, name, func(i *unix.Ifreq) error {
		i.SetUint16(unix.IFF_UP)
		return nil
	})
}

func upLoopback() error { return up("lo") }

// address waits for a network card and gives it an address, such as
// 10.0.2.15/24.
func address(text string) error {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return err
	}
	if !prefix.Addr().Is4() {
		return fmt.Errorf("%s is no IPv4 address", text)
	}
	name, err := awaitCard()
	if err != nil {
		return err
	}
	for _, set := range []struct {
		request uint
		value   []byte
	}{
		{unix.SIOCSIFADDR, prefix.Addr().AsSlice()},
		{unix.SIOCSIFNETMASK, net.CIDRMask(prefix.Bits(), 32)},
	} {
		if err := configure(set.request, name, func(i *unix.Ifreq) error { return i.SetInet4Addr(set.value) }); err != nil {
			return err
		}
	}
	return up(name)
}

// awaitCard gives the name of the first Ethernet card. The kernel finds one
// behind USB some time after the start; it tells of each (rtnetlink(7)).
func awaitCard() (string, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return "", fmt.Errorf("netlink: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK}); err != nil {
		return "", fmt.Errorf("netlink: %w", err)
	}
	news := make([]byte, os.Getpagesize())
	for {
		cards, err := net.Interfaces()
		if err != nil {
			return "", err
		}
		for _, c := range cards {
			if c.Flags&net.FlagLoopback == 0 && len(c.HardwareAddr) == 6 {
				return c.Name, nil
			}
		}
		if _, err := unix.Read(fd, news); err != nil && err != unix.EINTR {
			return "", fmt.Errorf("netlink: %w", err)
		}
	}
}
