"""A slow book that knows everything, and a recording of it that shows only the best levels."""

import numpy as np

Queue = list[list[int]]


class CensoredBook:
    """Random orders in a price-time book; `rows` are what a recording with `depth` levels shows.

    Events at prices beyond the recorded levels happen, but make no row.
    """

    def __init__(self, seed: int, depth: int, spread: int = 8) -> None:
        self.rng = np.random.default_rng(seed)
        self.depth, self.spread = depth, spread
        self.sides: tuple[dict[int, Queue], dict[int, Queue]] = ({}, {})
        self.rows: list[dict[str, int]] = []
        self.next_id, self.time, self.unseen = 1, 1, 0
        self.trades: list[tuple[int, int, int]] = []
        for side in (0, 1):
            for distance in range(1, 12):
                self.sides[side][self.price(side, distance)] = [[self.take_id(), 10 * distance]]

    def price(self, side: int, distance: int) -> int:
        return 1000 + distance if side else 1000 - distance

    def take_id(self) -> int:
        self.next_id += 1
        return self.next_id

    def best(self, side: int) -> list[int]:
        return sorted(self.sides[side], reverse=side == 0)[: self.depth]

    def shows(self, side: int, price: int) -> bool:
        prices = self.best(side)
        last = prices[-1]
        return len(prices) < self.depth or (price <= last if side else price >= last)

    def tell(self, kind: int, order: int, size: int, side: int, price: int, seen: bool) -> None:
        if not seen:
            self.unseen += 1
            return
        row = {
            "time_ns": self.time, "type": kind, "order_id": order, "size": size,
            "price": price * 100, "direction": -1 if side else 1,
        }  # fmt: skip
        for name, s in (("ask", 1), ("bid", 0)):
            prices = self.best(s)
            for j in range(self.depth):
                there = j < len(prices)
                away = 9_999_999_999 if s else -9_999_999_999
                row[f"{name}_px{j + 1}"] = prices[j] * 100 if there else away
                lots = sum(size for _, size in self.sides[s][prices[j]]) if there else 0
                row[f"{name}_sz{j + 1}"] = lots
        self.rows.append(row)

    def remove(self, side: int, price: int, place: int, lots: int) -> tuple[int, int]:
        queue = self.sides[side][price]
        order, size = queue[place]
        if lots < size:
            queue[place][1] -= lots
        else:
            del queue[place]
            if not queue:
                del self.sides[side][price]
        return order, size

    def enter(self, side: int) -> None:
        limit = self.best(1 - side)[0]
        distance = int(self.rng.integers(0, self.spread)) + 1
        price = limit + distance if side else limit - distance
        size, order = int(self.rng.integers(1, 6)), self.take_id()
        self.sides[side].setdefault(price, []).append([order, size])
        self.tell(1, order, size, side, price, self.shows(side, price))

    def withdraw(self, side: int) -> None:
        prices = list(self.sides[side])
        price = prices[int(self.rng.integers(len(prices)))]
        place = int(self.rng.integers(len(self.sides[side][price])))
        if len(prices) < 5:
            return
        seen = self.shows(side, price)
        size = self.sides[side][price][place][1]
        lots = int(self.rng.integers(1, size + 1))
        order, _ = self.remove(side, price, place, lots)
        self.tell(3 if lots == size else 2, order, lots, side, price, seen)

    def attack(self, side: int) -> None:
        left = int(self.rng.integers(1, 12))
        limit = self.best(side)[int(self.rng.integers(min(self.depth, 4))) // 2]
        while left and len(self.sides[side]) > 4:
            price = self.best(side)[0]
            if price > limit if side else price < limit:
                order = self.take_id()
                self.sides[1 - side][limit] = [[order, left]]
                self.tell(1, order, left, 1 - side, limit, True)
                return
            lots = min(left, self.sides[side][price][0][1])
            order, _ = self.remove(side, price, 0, lots)
            self.tell(4, order, lots, side, price, True)
            left -= lots

    def play(self, n: int) -> list[dict[str, int]]:
        for _ in range(n):
            self.time += 1
            side, event = int(self.rng.integers(2)), self.rng.random()
            if event < 0.5:
                self.enter(side)
            elif event < 0.85:
                self.withdraw(side)
            elif event < 0.95:
                self.attack(side)
            else:
                self.tell(5, 0, 3, side, self.best(side)[0], True)
        return self.rows
